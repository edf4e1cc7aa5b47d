//! Kubeconfig files, read and merged as kubectl does.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hyper::Uri;
use hyper::header::HeaderValue;
use kube::Config;
use kube::config::{AuthInfo, Cluster, ExecAuthCluster};
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Target, variable};
use crate::proxy::Proxy;
use crate::words::few;

type Fields = Map<String, Value>;

/// Pairs of fields that exclude each other in kubectl.
const EXCLUSIVE: [(&str, &str); 6] = [
    ("certificate-authority", "certificate-authority-data"),
    ("client-certificate", "client-certificate-data"),
    ("client-key", "client-key-data"),
    ("token", "username"),
    ("token", "password"),
    ("exec", "auth-provider"),
];

pub(super) struct File {
    path: PathBuf,
    content: Value,
}

/// Returns the files, in order of precedence; `None` if none is named and the default one does not exist.
pub(super) fn read(named: Option<PathBuf>) -> anyhow::Result<Option<Vec<File>>> {
    if let Some(path) = named {
        let file = File::read(&path)?;
        let file =
            file.with_context(|| format!("can't use the kubeconfig {}: not found; check the path", path.display()))?;
        return Ok(Some(vec![file]));
    }
    if let Some(list) = variable("KUBECONFIG").filter(|list| !list.is_empty()) {
        let paths = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
        let files = paths.filter_map(|path| File::read(&path).transpose()).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            !files.is_empty(),
            "no cluster: KUBECONFIG is set to `{list}`, and no such file exists; correct or unset KUBECONFIG"
        );
        return Ok(Some(files));
    }
    let Some(home) = std::env::home_dir() else { return Ok(None) };
    Ok(File::read(&home.join(".kube/config"))?.map(|file| vec![file]))
}

impl File {
    /// Returns `None` if there is no such file.
    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let unusable = || format!("can't use the kubeconfig {}", path.display());
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(unusable),
        };
        let content = parse(&bytes).with_context(unusable)?;
        Ok(Some(Self { path: path.to_owned(), content }))
    }

    fn entries(&self, list: &str) -> impl Iterator<Item = &Value> {
        self.content[list].as_array().into_iter().flatten()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<Value> {
    let text = text(bytes).context("it is not UTF-8 text")?;
    // The reader limits comments otherwise.
    let options = serde_saphyr::options! { emit_comments: false };
    let content: Option<Value> = serde_saphyr::from_str_with_options(&text, options).map_err(|error| {
        // Further lines of the error show the file, which may have secrets.
        let error = error.to_string();
        anyhow!("{}", error.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned())
    })?;
    let content = content.unwrap_or_else(|| json!({}));
    ensure!(content.is_object(), "it is not a kubeconfig: not a mapping");
    for (key, value) in [("kind", "Config"), ("apiVersion", "v1")] {
        let is = content[key].as_str().unwrap_or_default();
        ensure!(is.is_empty() || is == value, "it is not a kubeconfig: its {key} is {is}, not {value}");
    }
    for list in ["clusters", "contexts", "users"] {
        let mut names: Vec<_> =
            content[list].as_array().into_iter().flatten().map(|entry| entry["name"].as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("duplicate name `{}` in {list}; remove one of the entries", twice[0].unwrap_or_default());
        }
    }
    Ok(content)
}

/// PowerShell writes UTF-16.
fn text(bytes: &[u8]) -> Option<String> {
    let units = |of: fn([u8; 2]) -> u16| bytes[2..].as_chunks::<2>().0.iter().map(|unit| of(*unit)).collect::<Vec<_>>();
    match bytes {
        [0xFF, 0xFE, ..] => String::from_utf16(&units(u16::from_le_bytes)).ok(),
        [0xFE, 0xFF, ..] => String::from_utf16(&units(u16::from_be_bytes)).ok(),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_owned()).ok(),
        _ => String::from_utf8(bytes.to_owned()).ok(),
    }
}

/// An entry that a context names, with its place.
struct Entry<'f> {
    /// The name of the entry in errors.
    place: String,
    file: &'f File,
    fields: Fields,
}

/// Returns the entry of the first file that has the name.
fn find<'f>(files: &'f [File], kind: &str, name: &str) -> Option<Entry<'f>> {
    let list = format!("{kind}s");
    let (file, entry) =
        files.iter().find_map(|file| Some((file, file.entries(&list).find(|entry| entry["name"] == name)?)))?;
    let fields = entry[kind].as_object().cloned().unwrap_or_default();
    // An empty value is absent, as in Go.
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null() && value != "").collect();
    Some(Entry { place: format!("{kind} `{name}` in {}", file.path.display()), file, fields })
}

/// Returns the cluster of a context, or of the current one.
pub(super) fn target(files: &[File], context: Option<String>) -> anyhow::Result<Target> {
    let paths = files.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().join(", ");
    let current = || {
        let current = files.iter().filter_map(|file| file.content["current-context"].as_str());
        current.into_iter().find(|name| !name.is_empty()).map(str::to_owned)
    };
    let names = |list: &str| {
        let names = files.iter().flat_map(|file| file.entries(list)).filter_map(|entry| entry["name"].as_str());
        let names: Vec<_> = names.collect();
        if names.is_empty() { "none".to_owned() } else { few(&names) }
    };
    let name = context.or_else(current);
    let name = name.with_context(|| {
        format!(
            "no cluster: no current-context in {paths}; choose a context with --context; known contexts: {}",
            names("contexts")
        )
    })?;
    let context = find(files, "context", &name)
        .with_context(|| format!("no context `{name}` in {paths}; known contexts: {}", names("contexts")))?;
    let named = |kind: &str| -> anyhow::Result<Entry<'_>> {
        let name = context.fields.get(kind).and_then(Value::as_str);
        let name = name.with_context(|| format!("{} names no {kind}", context.place))?;
        find(files, kind, name).with_context(|| {
            let known = names(&format!("{kind}s"));
            format!("{} names the {kind} `{name}`, which is not in {paths}; known {kind}s: {known}", context.place)
        })
    };
    let cluster = named("cluster")?;
    let mut user = if context.fields.contains_key("user") {
        named("user")?
    } else {
        Entry { place: context.place.clone(), file: context.file, fields: Fields::new() }
    };
    let mut target = of_cluster(&cluster).with_context(|| format!("can't use {}", cluster.place))?;
    if let Some(namespace) = context.fields.get("namespace").and_then(Value::as_str) {
        namespace.clone_into(&mut target.config.default_namespace);
    }
    target.place = format!("context {name} of {}", context.file.path.display());
    let credentials = user.credentials(&cluster.typed()?);
    let credentials = credentials.with_context(|| format!("can't use {}", user.place))?;
    target.config.auth_info = if target.is_plain() {
        // Without TLS, others could read them.
        AuthInfo {
            impersonate: credentials.impersonate,
            impersonate_uid: credentials.impersonate_uid,
            impersonate_groups: credentials.impersonate_groups,
            impersonate_user_extra: credentials.impersonate_user_extra,
            ..AuthInfo::default()
        }
    } else {
        credentials
    };
    Ok(target)
}

fn of_cluster(cluster: &Entry<'_>) -> anyhow::Result<Target> {
    const DATA: &str = "certificate-authority-data";
    cluster.check()?;
    let fields: Cluster = cluster.typed()?;
    let insecure = fields.insecure_skip_tls_verify.unwrap_or_default();
    let server = fields.server.as_deref().context("it has no `server`")?;
    let server = server_url(server)?;
    let authority = match (&fields.certificate_authority_data, &fields.certificate_authority) {
        (Some(data), _) => {
            let decoded = BASE64_STANDARD.decode(data);
            Some((DATA, decoded.map_err(|_| anyhow!("`{DATA}` is not base64"))?))
        }
        (None, Some(file)) => {
            let read = std::fs::read(file).with_context(|| format!("can't read `certificate-authority` {file}"))?;
            Some(("certificate-authority", read))
        }
        (None, None) => None,
    };
    ensure!(
        authority.is_none() || !insecure,
        "`insecure-skip-tls-verify` and a CA exclude each other; remove one of them"
    );
    let proxy = match &fields.proxy_url {
        Some(url) => Some(Proxy::explicit(url)?),
        None => Proxy::from_environment(&server, variable)?,
    };
    if let Some(name) = &fields.tls_server_name {
        ensure!(ServerName::try_from(name.as_str()).is_ok(), "`tls-server-name` is not a host name or an IP address");
    }
    let mut config = Config::new(server);
    config.root_cert =
        authority.map(|(key, pem)| certificates(&pem).with_context(|| format!("`{key}`"))).transpose()?;
    config.accept_invalid_certs = insecure;
    config.tls_server_name = fields.tls_server_name;
    config.disable_compression = fields.disable_compression.unwrap_or_default();
    Ok(Target { config, place: String::new(), proxy }.through_proxy())
}

/// Parses the URL of a server. Without a scheme it is plain HTTP, as in kubectl.
fn server_url(text: &str) -> anyhow::Result<Uri> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let shown = text.rsplit('@').next().unwrap_or_default();
    let url: Uri = text.parse().ok().with_context(|| format!("`server` is not a URL: {shown}"))?;
    ensure!(matches!(url.scheme_str(), Some("http" | "https")), "`server` is not an http:// or https:// URL: {shown}");
    ensure!(
        !url.authority().is_some_and(|authority| authority.as_str().contains('@')),
        "`server` has credentials, which is not supported; set `username` and `password` of the user instead"
    );
    Ok(url)
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let blocks = pem::parse_many(pem).map_err(|_| anyhow!("it is not PEM"))?;
    let certificates: Vec<_> =
        blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect();
    ensure!(!certificates.is_empty(), "it has no certificate in PEM");
    Ok(certificates)
}

impl Entry<'_> {
    fn check(&self) -> anyhow::Result<()> {
        match EXCLUSIVE.iter().find(|(one, other)| self.fields.contains_key(*one) && self.fields.contains_key(*other)) {
            Some((one, other)) => bail!("`{one}` and `{other}` exclude each other; remove one of them"),
            None => Ok(()),
        }
    }

    /// Returns the fields, with paths resolved. Errors do not show values, which may be secret.
    fn typed<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let mut fields = self.fields.clone();
        for key in ["certificate-authority", "client-certificate", "client-key", "tokenFile"] {
            if let Some(Value::String(path)) = fields.get_mut(key) {
                *path = self.file.folder().join(&*path).display().to_string();
            }
        }
        for key in ["certificate-authority-data", "client-certificate-data", "client-key-data"] {
            if let Some(Value::String(data)) = fields.get_mut(key) {
                // Go accepts line breaks in base64.
                data.retain(|character| !matches!(character, '\n' | '\r'));
            }
        }
        if let Some(Value::Object(exec)) = fields.get_mut("exec") {
            exec.retain(|_, value| !value.is_null());
            if let Some(Value::String(command)) = exec.get_mut("command")
                && command.contains('/')
            {
                *command = self.file.folder().join(&*command).display().to_string();
            }
        }
        serde_json::from_value(Value::Object(fields.clone())).map_err(|_| {
            let is_wrong =
                |(key, value): &(&String, &Value)| serde_json::from_value::<T>(json!({(*key): value})).is_err();
            let wrong = fields.iter().find(is_wrong).map(|(key, _)| format!("`{key}` has a value of the wrong type"));
            anyhow!("{}", wrong.unwrap_or_default())
        })
    }

    fn credentials(&mut self, cluster: &Cluster) -> anyhow::Result<AuthInfo> {
        self.check()?;
        if let Some(provider) = self.fields.remove("auth-provider")
            && !self.fields.contains_key("token")
        {
            self.fields.insert("token".to_owned(), provided(&provider)?.into());
        }
        if let Some(token) = self.fields.get("token").and_then(Value::as_str) {
            ensure!(HeaderValue::try_from(token).is_ok(), "`token` has invalid characters; copy it again");
        }
        let mut user: AuthInfo = self.typed()?;
        // A readable file takes precedence, as in client-go.
        if let Some(file) = &user.token_file
            && user.token.is_some()
        {
            match std::fs::read_to_string(file) {
                Ok(token) if !token.trim().is_empty() => user.token = None,
                _ => user.token_file = None,
            }
        }
        if let Some(exec) = &mut user.exec
            && exec.provide_cluster_info
        {
            exec.cluster = Some(ExecAuthCluster::try_from(cluster)?);
        }
        let impersonates = user.impersonate_uid.is_some()
            || user.impersonate_groups.is_some()
            || user.impersonate_user_extra.is_some();
        ensure!(user.impersonate.is_some() || !impersonates, "`as-uid`, `as-groups` and `as-user-extra` need `as`");
        Ok(user)
    }
}

/// Returns the token of an `auth-provider`, which is not refreshed here.
fn provided(provider: &Value) -> anyhow::Result<String> {
    let name = provider["name"].as_str().unwrap_or_default();
    let instead = match name {
        "oidc" => {
            "let `kubectl get --raw /version` refresh it, or use an exec plugin: `kubectl oidc-login setup` \
                   (https://github.com/int128/kubelogin)"
        }
        "gcp" => {
            bail!("the auth-provider gcp is not supported, as in kubectl; use the exec plugin gke-gcloud-auth-plugin")
        }
        "azure" => bail!("the auth-provider azure is not supported, as in kubectl; use the exec plugin kubelogin"),
        other => bail!("the auth-provider {other} is not supported; use an exec plugin"),
    };
    let token = provider["config"]["id-token"].as_str().filter(|token| !token.is_empty());
    let token = token.with_context(|| {
        format!("the auth-provider oidc has no id-token, and pullthrough does not get one; {instead}")
    })?;
    let expired = expiry(token).is_none_or(|expiry| expiry <= SystemTime::now());
    ensure!(
        !expired,
        "the id-token of the auth-provider oidc has expired, and pullthrough does not refresh it; {instead}"
    );
    Ok(token.to_owned())
}

fn expiry(token: &str) -> Option<SystemTime> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(claims["exp"].as_u64()?))
}

#[cfg(test)]
mod tests;
