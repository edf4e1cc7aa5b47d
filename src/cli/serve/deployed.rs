//! The arguments of a `serve` in a cluster, read with the definition of the command line.

use std::ffi::OsStr;

use clap::builder::{FalseyValueParser, TypedValueParser as _};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, Command, value_parser};

use super::Args;
use crate::cli::{QuietArgs, environment as variables};
use crate::cluster::doctor::{Environment, Serve, Setting};

/// Reads the command and the arguments of a container in a Deployment.
///
/// # Errors
///
/// If an argument is unknown, such as one of another version.
pub fn read(words: &[String], environment: &Environment) -> Result<Serve, String> {
    let mut words = words.iter().skip_while(|word| *word != "serve");
    if words.next().is_none() {
        return Err("the container's command and args don't have the word `serve`".to_owned());
    }
    let definition = QuietArgs::augment_args(Args::augment_args(Command::new("serve").no_binary_name(true)));
    // Values may have `$(NAME)`. Variables are those of the container, not of this process.
    let command = definition.clone().mut_args(|arg| {
        if arg.get_action().takes_values() {
            arg.env(None::<&'static str>).value_parser(value_parser!(String))
        } else {
            arg.env(None::<&'static str>)
        }
    });
    let matches = command.clone().try_get_matches_from(words.clone()).or_else(|error| match error.kind() {
        // A variable may have the missing value. All words have been read by then.
        ErrorKind::MissingRequiredArgument => command.ignore_errors(true).try_get_matches_from(words),
        _ => Err(error),
    });
    let matches = matches.map_err(|error| reason(&error))?;
    let overridden = variables::overridden(&definition, &matches);
    let settings = Settings { definition, overridden, matches, environment };
    let managed_secret =
        || if settings.is_on("manage_certificates")? { settings.value("certificate_secret") } else { Ok(None) };
    Ok(Serve {
        rules: settings.value("rules"),
        cache: settings.value("cache"),
        managed_secret: managed_secret(),
        sends_warnings: settings.is_on("no_warnings").map(|is_on| !is_on),
    })
}

struct Settings<'e> {
    /// It has the names of variables.
    definition: Command,
    /// Arguments over whose variables an option takes precedence.
    overridden: Vec<String>,
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
        if self.overridden.iter().any(|overridden| overridden == id) {
            return Ok(None);
        }
        let arg = self.definition.get_arguments().find(|arg| arg.get_id() == id);
        match arg.and_then(|arg| arg.get_env()).and_then(OsStr::to_str) {
            Some(name) => self.environment.get(name),
            None => Ok(None),
        }
    }
}

/// Returns the first line. The others are about the usage of this program.
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
        Serve { rules: Ok(None), cache: Ok(None), managed_secret: Ok(None), sends_warnings: Ok(true) }
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
            (&["serve", "--cache=a.io/b"], variable("PULLTHROUGH_RULES", "/other"), cache()),
            (&["serve", "-q", "--cache=a.io/b"], json!([]), cache()),
            (&["serve", "--rules=/x"], json!([]), Serve { rules: some("/x"), ..plain() }),
            (&["serve", "--manage-certificates"], json!([]), secret("pullthrough-tls")),
            (&["serve", "--manage-certificates", "--certificate-secret", "s"], json!([]), secret("s")),
            (&["serve", "--manage-certificates"], variable("PULLTHROUGH_CERTIFICATE_SECRET", "s"), secret("s")),
            (&["serve"], variable("PULLTHROUGH_MANAGE_CERTIFICATES", "on"), secret("pullthrough-tls")),
            (&["serve"], variable("PULLTHROUGH_MANAGE_CERTIFICATES", "Off"), plain()),
            (&["serve", "--certificate-secret=s"], json!([]), plain()),
            (&["serve", "--no-warnings"], json!([]), Serve { sends_warnings: Ok(false), ..plain() }),
            (&["serve"], variable("PULLTHROUGH_NO_WARNINGS", "yes"), Serve { sends_warnings: Ok(false), ..plain() }),
            // Other options may have any value, also with variables.
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
        assert_eq!(serve(&["serve"], from(name)), Ok(Serve { sends_warnings: Err(why(name)), ..plain() }));
    }

    #[test]
    fn arguments_of_another_version_are_told() {
        for (args, why) in [
            (&["serve", "--newer"][..], "unexpected argument '--newer' found"),
            (&["serve", "--cache"], "a value is required for '--cache <PREFIX>' but none was supplied"),
            (&["sh", "-c", "pullthrough serve"], "the container's command and args don't have the word `serve`"),
        ] {
            assert_eq!(serve(args, json!([])), Err(why.to_owned()));
        }
    }
}
