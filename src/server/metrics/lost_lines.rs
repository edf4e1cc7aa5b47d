//! The metric of lost log lines.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Metric, MetricFamily, MetricType};

use crate::server::lines::Lost;

/// Collects the number of lost log lines from where they are counted.
pub(super) struct LostLines {
    lost: Lost,
    desc: Desc,
}

impl LostLines {
    pub(super) fn new(lost: Lost) -> prometheus::Result<LostLines> {
        let (name, help) = (
            "pullthrough_log_lines_lost_total",
            "Log lines lost because standard error was closed or not read in time.",
        );
        Ok(LostLines { lost, desc: Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())? })
    }
}

impl Collector for LostLines {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut counter, mut metric, mut family) = (Counter::default(), Metric::default(), MetricFamily::default());
        counter.set_value(self.lost.count() as f64);
        metric.set_counter(counter);
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::COUNTER);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
