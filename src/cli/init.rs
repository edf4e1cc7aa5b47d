use std::fmt::Write;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::output;
use crate::engine::ALIASES;
use crate::init::{Layout, Product};
use crate::registries::Upstream;

/// Print a rules file for a cache product
///
/// The file has a rule for each registry, with the path under which the product caches it. It passes `pullthrough check`. The
/// rules observe: no image is rewritten until `mode` is changed.
///
/// With --setup, the commands that create these caches are printed, as a Bash script. Read it before you run it.
#[derive(clap::Args)]
#[command(after_long_help = after_help())]
pub struct Args {
    /// The product that caches images.
    #[arg(value_name = "PRODUCT", value_parser = product_parser(), hide_possible_values = true)]
    product: Product,

    /// The host of the cache; for some products with a path.
    #[arg(long, value_name = "PREFIX")]
    cache: String,

    /// The registries to cache; repeat it or separate by commas. Default: all that the product supports.
    #[arg(long, value_name = "HOST", value_delimiter = ',', value_parser = upstream_parser())]
    upstream: Vec<Upstream>,

    /// Print the commands that create the caches, instead of the rules.
    #[arg(long)]
    setup: bool,
}

fn product_parser() -> impl TypedValueParser<Value = Product> {
    let values = Product::ALL.map(|product| PossibleValue::new(product.as_str()).help(product.title()));
    PossibleValuesParser::new(values).try_map(|name| Product::parse(&name).ok_or("unknown product"))
}

fn upstream_parser() -> impl TypedValueParser<Value = Upstream> {
    let hosts = Upstream::ALL.map(|upstream| PossibleValue::new(upstream.host()));
    let aliases = ALIASES.map(|(alias, _)| PossibleValue::new(alias).hide(true));
    PossibleValuesParser::new(hosts.into_iter().chain(aliases))
        .try_map(|host| Upstream::of_host(&host).ok_or("unknown registry"))
}

fn after_help() -> String {
    let mut text = String::from("Products, and the form of --cache for each:\n");
    for product in Product::ALL {
        let _ = writeln!(text, "  {:<18} {}", product.as_str(), product.form());
    }
    text + "\nExit codes:\n  \
        0  done\n  \
        2  wrong usage, or a registry that the product can't cache\n\
        \nExamples:\n  \
        $ pullthrough init harbor --cache harbor.example.com > rules.yaml\n  \
        $ pullthrough init nexus --cache nexus.example.com:8443 \\\n      --upstream docker.io,quay.io\n  \
        $ pullthrough init ecr --setup \\\n      --cache 123456789012.dkr.ecr.eu-west-1.amazonaws.com > setup.sh"
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { product, cache, upstream, setup } = args;
    let layout = Layout::new(product, &cache, &upstream)?;
    output::data(if setup { layout.setup() } else { layout.rules() })
}
