//! containerd's configuration of a registry on a node: the folder of its host below `config_path`.
//!
//! Source: `core/remotes/docker/config/hosts.go` of containerd 2.4.

use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike};

/// containerd's default of `config_path`.
pub const DEFAULT_FOLDER: &str = "/etc/containerd/certs.d";
const FILE: &str = "hosts.toml";
/// A longer file is none that somebody wrote.
const MAX_BYTES: u64 = 1 << 20;

/// What a node does with images of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirrors {
    /// There is no folder for it: the node asks the host itself.
    None,
    /// The folder has no `hosts.toml`: the node asks the host itself, and trusts the CAs (`*.crt`) in the folder.
    Certificates { folder: PathBuf },
    File {
        file: PathBuf,
        /// In the order in which the node asks. The last one is the server.
        hosts: Vec<Host>,
    },
    /// Pulls of the host fail.
    Invalid { file: PathBuf, why: String },
}

/// A server that a node asks for images of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub url: String,
    /// The files of its CAs.
    pub ca: Vec<String>,
    pub skips_verify: bool,
    pub resolves: bool,
}

/// Reads what a node does with images of `host`, which has a port if it is not 443.
pub fn read(config_path: &Path, host: &str) -> Mirrors {
    let Some(folder) = folders(host).map(|name| config_path.join(name)).find(|folder| folder.is_dir()) else {
        return Mirrors::None;
    };
    let file = folder.join(FILE);
    let text = match std::fs::metadata(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Mirrors::Certificates { folder },
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Mirrors::Invalid { file, why: format!("it has more than {MAX_BYTES} bytes") };
        }
        _ => std::fs::read_to_string(&file),
    };
    match text.map_err(|error| error.to_string()).and_then(|text| parse(&text, host)) {
        Ok(hosts) => Mirrors::File { file, hosts },
        Err(why) => Mirrors::Invalid { file, why },
    }
}

/// Returns the names of the folders in which containerd looks, in its order.
fn folders(host: &str) -> impl Iterator<Item = String> {
    let with_port = host.rsplit_once(':').filter(|(name, _)| !name.is_empty());
    let with_port = with_port.map(|(name, port)| format!("{name}_{port}_"));
    with_port.into_iter().chain([host.to_owned(), "_default".to_owned()])
}

fn parse(text: &str, host: &str) -> Result<Vec<Host>, String> {
    let document = Document::parse(text).map_err(|error| {
        // Further lines show the file, which may have a header with a secret.
        let error = error.to_string();
        error.lines().next().unwrap_or("it is not TOML").to_owned()
    })?;
    let root = document.as_table();
    let mut hosts = Vec::new();
    if let Some(tables) = root.get("host") {
        let tables = tables.as_table_like().ok_or("`host` is not a table")?;
        for (url, table) in tables.iter() {
            let table = table.as_table_like().ok_or_else(|| format!("`host.\"{url}\"` is not a table"))?;
            hosts.push(server(url, table));
        }
    }
    let server_url = root.get("server").and_then(Item::as_str).filter(|url| !url.is_empty());
    let is_named = hosts.iter().any(|one| Some(&*one.url) == server_url);
    if !is_named {
        let default = format!("https://{host}");
        hosts.push(server(server_url.unwrap_or(&default), root));
    }
    Ok(hosts)
}

fn server(url: &str, table: &dyn TableLike) -> Host {
    let strings = |item: &Item| match item.as_array() {
        Some(array) => array.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
        None => item.as_str().map(str::to_owned).into_iter().collect::<Vec<_>>(),
    };
    let capabilities = table.get("capabilities").map(strings);
    Host {
        url: if url.contains("://") { url.to_owned() } else { format!("https://{url}") },
        ca: table.get("ca").map(strings).unwrap_or_default(),
        skips_verify: table.get("skip_verify").and_then(Item::as_bool).unwrap_or_default(),
        resolves: capabilities.is_none_or(|list| list.iter().any(|one| one == "resolve")),
    }
}

impl Host {
    /// Returns it in words.
    pub fn describe(&self) -> String {
        let Self { url, ca, skips_verify, resolves } = self;
        let mut text = url.clone();
        if !ca.is_empty() {
            text += &format!(", CA {}", ca.join(", "));
        }
        if *skips_verify {
            text += ", certificate not verified";
        }
        if !resolves {
            text += ", not for tags";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(mirrors: Mirrors) -> Vec<String> {
        match mirrors {
            Mirrors::File { hosts, .. } => hosts.iter().map(Host::describe).collect(),
            other => vec![format!("{other:?}")],
        }
    }

    #[test]
    fn hosts_are_in_the_order_of_the_file() {
        let text = r#"
            server = "https://docker.io"
            [host."https://b.example/v2/hub"]
              capabilities = ["pull"]
              ca = ["/a.crt", "/b.crt"]
            [host."http://a.example:5000"]
              capabilities = ["pull", "resolve"]
              skip_verify = true
        "#;
        let hosts = parse(text, "docker.io").unwrap();
        assert_eq!(
            hosts.iter().map(Host::describe).collect::<Vec<_>>(),
            [
                "https://b.example/v2/hub, CA /a.crt, /b.crt, not for tags",
                "http://a.example:5000, certificate not verified",
                "https://docker.io"
            ]
        );
        let hosts = parse("ca = \"/ca.crt\"\n[host]\n", "c.example:8443").unwrap();
        assert_eq!(hosts.iter().map(Host::describe).collect::<Vec<_>>(), ["https://c.example:8443, CA /ca.crt"]);
    }

    #[test]
    fn the_folder_is_the_one_that_containerd_uses() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join(FILE), text).unwrap();
        };
        let read = |host| described(read(folder.path(), host));
        assert_eq!(read("c.example"), ["None"]);
        write("_default", "server = \"https://default\"");
        assert_eq!(read("c.example:5000"), ["https://default"]);
        write("c.example:5000", "server = \"https://colon\"");
        assert_eq!(read("c.example:5000"), ["https://colon"]);
        write("c.example_5000_", "server = \"https://line\"");
        assert_eq!(read("c.example:5000"), ["https://line"]);
        assert_eq!(read("c.example"), ["https://default"]);
        std::fs::create_dir(folder.path().join("d.example")).unwrap();
        assert!(read("d.example")[0].starts_with("Certificates"));
        write("e.example", "server = \"hunter2\nx");
        let [invalid] = &*read("e.example") else { panic!() };
        assert!(invalid.starts_with("Invalid") && !invalid.contains("hunter2"), "{invalid}");
        write("f.example", "host = 1");
        assert!(read("f.example")[0].contains("`host` is not a table"));
    }
}
