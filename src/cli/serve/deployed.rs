//! The arguments of a `serve` that runs elsewhere, read by the same definition.

use std::ffi::OsStr;

use clap::builder::{FalseyValueParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, Command, value_parser};

use super::Args;
use crate::cluster::doctor::{Environment, Serve, Setting};

/// Reads the command and the arguments of a container, as a Deployment writes them.
///
/// # Errors
///
/// Says what is not understood, such as a flag of another version.
pub fn read(words: &[String], environment: &Environment) -> Result<Serve, String> {
    let mut words = words.iter().skip_while(|word| *word != "serve");
    if words.next().is_none() {
        return Err("the container's command and args have no word `serve`".to_owned());
    }
    let definition = Args::augment_args(Command::new("serve").no_binary_name(true));
    // Values may have `$(NAME)` in them, and the variables are those of the container, not of this process.
    let command = definition.clone().mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.env(None::<&'static str>).value_parser(value_parser!(String)),
        false => arg.env(None::<&'static str>),
    });
    let matches = command.clone().try_get_matches_from(words.clone()).or_else(|error| match error.kind() {
        // What is missing may be a variable. All words have been read by then.
        ErrorKind::MissingRequiredArgument => command.ignore_errors(true).try_get_matches_from(words),
        _ => Err(error),
    });
    let settings = Settings { definition, matches: matches.map_err(|error| reason(&error))?, environment };
    let managed_secret = || match settings.is_on("manage_certificates")? {
        true => settings.value("certificate_secret"),
        false => Ok(None),
    };
    Ok(Serve {
        rules: settings.value("rules"),
        cache: settings.value("cache"),
        managed_secret: managed_secret(),
        tells_warnings: settings.is_on("no_warnings").map(|is_on| !is_on),
    })
}

struct Settings<'e> {
    /// With the names of variables.
    definition: Command,
    matches: ArgMatches,
    environment: &'e Environment,
}

impl Settings<'_> {
    fn value(&self, id: &str) -> Setting<Option<String>> {
        let written = self.matches.get_one::<String>(id).map(String::as_str);
        if self.is_written(id) {
            return written.map(|value| self.environment.expand(value)).transpose();
        }
        Ok(self.variable(id)?.or_else(|| written.map(str::to_owned)))
    }

    fn is_on(&self, id: &str) -> Setting<bool> {
        if self.is_written(id) {
            return Ok(self.matches.get_flag(id));
        }
        let Some(value) = self.variable(id)? else { return Ok(false) };
        FalseyValueParser::new().parse_ref(&self.definition, None, OsStr::new(&value)).map_err(|error| reason(&error))
    }

    fn is_written(&self, id: &str) -> bool {
        self.matches.value_source(id) == Some(ValueSource::CommandLine)
    }

    fn variable(&self, id: &str) -> Setting<Option<String>> {
        let arg = self.definition.get_arguments().find(|arg| arg.get_id() == id);
        match arg.and_then(|arg| arg.get_env()).and_then(OsStr::to_str) {
            Some(name) => self.environment.get(name),
            None => Ok(None),
        }
    }
}

/// The first line alone: the rest is on how to use this program.
fn reason(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn serve(args: &[&str], env: Value) -> Result<Serve, String> {
        let container = json!({"name": "c", "env": env});
        let environment = Environment::of(&serde_json::from_value(container).unwrap());
        let words: Vec<_> = args.iter().map(|&word| word.to_owned()).collect();
        read(&words, &environment)
    }

    fn plain() -> Serve {
        Serve { rules: Ok(None), cache: Ok(None), managed_secret: Ok(None), tells_warnings: Ok(true) }
    }

    #[test]
    fn arguments_and_variables_mean_what_they_mean_to_serve() {
        let some = |value: &str| Ok(Some(value.to_owned()));
        let cache = || Serve { cache: some("a.io/b"), ..plain() };
        let secret = |name: &str| Serve { managed_secret: some(name), ..plain() };
        let variable = |name: &str, value: &str| json!([{"name": name, "value": value}]);
        for (args, env, expected) in [
            (&["serve"][..], json!([]), plain()),
            (&["serve", "--cache", "a.io/b"], json!([]), cache()),
            (&["/usr/bin/env", "pullthrough", "serve", "--cache=a.io/b"], json!([]), cache()),
            (&["serve", "--cache=$(HOST)/b"], variable("HOST", "a.io"), cache()),
            (&["serve"], variable("PULLTHROUGH_CACHE", "a.io/b"), cache()),
            (&["serve", "--cache=a.io/b"], variable("PULLTHROUGH_CACHE", "other"), cache()),
            (&["serve", "--rules=/x"], json!([]), Serve { rules: some("/x"), ..plain() }),
            (&["serve", "--manage-certificates"], json!([]), secret("pullthrough-tls")),
            (&["serve", "--manage-certificates", "--certificate-secret", "s"], json!([]), secret("s")),
            (&["serve", "--manage-certificates"], variable("PULLTHROUGH_CERTIFICATE_SECRET", "s"), secret("s")),
            (&["serve"], variable("PULLTHROUGH_MANAGE_CERTIFICATES", "on"), secret("pullthrough-tls")),
            (&["serve"], variable("PULLTHROUGH_MANAGE_CERTIFICATES", "Off"), plain()),
            (&["serve", "--certificate-secret=s"], json!([]), plain()),
            (&["serve", "--no-warnings"], json!([]), Serve { tells_warnings: Ok(false), ..plain() }),
            (&["serve"], variable("PULLTHROUGH_NO_WARNINGS", "yes"), Serve { tells_warnings: Ok(false), ..plain() }),
            // Those are of no interest here, and may be half in variables.
            (&["serve", "--listen=$(IP):8443,[::]:1", "--cache=a.io/b"], json!([]), cache()),
            (&["serve", "--tls-cert=/c", "--cache=a.io/b"], variable("PULLTHROUGH_TLS_KEY", "/k"), cache()),
        ] {
            assert_eq!(serve(args, env.clone()), Ok(expected), "{args:?} {env}");
        }
    }

    #[test]
    fn what_is_not_in_the_deployment_is_not_known() {
        let from = |name: &str| json!([{"name": name, "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]);
        let why = |name: &str| format!("{name} comes from key k of ConfigMap m, which doctor does not read");
        let rules = Err(why("PULLTHROUGH_RULES"));
        assert_eq!(serve(&["serve"], from("PULLTHROUGH_RULES")), Ok(Serve { rules, ..plain() }));
        let cache = Err(why("HOST"));
        assert_eq!(serve(&["serve", "--cache=$(HOST)/a"], from("HOST")), Ok(Serve { cache, ..plain() }));
        let (name, args) = ("PULLTHROUGH_CERTIFICATE_SECRET", ["serve", "--manage-certificates"]);
        assert_eq!(serve(&args, from(name)), Ok(Serve { managed_secret: Err(why(name)), ..plain() }));
        assert_eq!(serve(&["serve"], from(name)), Ok(plain()));
        let name = "PULLTHROUGH_MANAGE_CERTIFICATES";
        assert_eq!(serve(&["serve"], from(name)), Ok(Serve { managed_secret: Err(why(name)), ..plain() }));
        let name = "PULLTHROUGH_NO_WARNINGS";
        assert_eq!(serve(&["serve"], from(name)), Ok(Serve { tells_warnings: Err(why(name)), ..plain() }));
    }

    #[test]
    fn arguments_of_another_version_are_told() {
        for (args, why) in [
            (&["serve", "--newer"][..], "unexpected argument '--newer' found"),
            (&["serve", "--cache"], "a value is required for '--cache <PREFIX>' but none was supplied"),
            (&["sh", "-c", "pullthrough serve"], "the container's command and args have no word `serve`"),
        ] {
            assert_eq!(serve(args, json!([])), Err(why.to_owned()));
        }
    }
}
