//! The table of `docs/reference/kubeconfig.md`: what kubectl does with a kubeconfig, and what pullthrough does.

mod row;

use std::collections::BTreeMap;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use self::row::{
    ENCODED_PASSWORD, FAILED, IMPOSTOR, NOT_FROM_PROXY, Outcome, REACHED, Row, THROUGH_PROXY, authority,
    authority_data, kubeconfig, with_cluster, with_user,
};
use crate::CLUSTER;
use crate::harness::{Proxy, ProxyKind, Webhook};
use crate::scene::{KUBERNETES, rules};

fn plain() -> String {
    kubeconfig(|_| ())
}

/// Returns a kubeconfig of a server that is not an API server.
fn impostor() -> String {
    with_cluster(|cluster| cluster["server"] = json!("https://$impostor"))
}

fn token() -> &'static str {
    CLUSTER.admin().token()
}

#[test]
fn files_are_found_as_kubectl_does() {
    Row::with("--kubeconfig", plain()).both(REACHED, "context admin of $folder/config\n");
    Row::new("--kubeconfig wins over KUBECONFIG, also if missing")
        .file("a", plain())
        .variable("KUBECONFIG", "$folder/a")
        .argument("--kubeconfig=$folder/missing")
        .both(FAILED, "error: can't use the kubeconfig $folder/missing: not found; check the path");
    let of = |feature: &str, list: &str| {
        Row::new(feature).file("a", plain()).file(".kube/config", impostor()).variable("KUBECONFIG", list)
    };
    of("KUBECONFIG", "$folder/a").both(REACHED, "context admin of $folder/a\n");
    of("a missing second file", "$folder/a:$folder/missing").both(REACHED, "of $folder/a\n");
    of("a missing first file", "$folder/missing:$folder/a").both(REACHED, "of $folder/a\n");
    of("empty names", ":$folder/a:").both(REACHED, "of $folder/a\n");
    of("the same file twice", "$folder/a:$folder/a").both(REACHED, "of $folder/a\n");
    of("no file exists", "$folder/missing:$folder/other")
        .both(FAILED, "error: no cluster: KUBECONFIG is set to `$folder/missing:$folder/other`");
    of("empty KUBECONFIG is not set", "").both(IMPOSTOR, "of $folder/.kube/config\n");
    Row::new("the default file").file(".kube/config", plain()).both(REACHED, "of $folder/.kube/config\n");
    Row::new("nothing").both(FAILED, "error: no cluster: ~/.kube/config does not exist, and this is");
    Row::new("--context without a kubeconfig").argument("--context=a").both(FAILED, "--context needs a kubeconfig");
    Row::with("an empty file", "").both(FAILED, "no current-context in $folder/config");
    Row::with("text that is no YAML", "a: [").both(FAILED, "error: can't use the kubeconfig $folder/config: ");
    Row::new("a second file that is no YAML")
        .file("a", plain())
        .file("b", "a: [")
        .variable("KUBECONFIG", "$folder/a:$folder/b")
        .both(FAILED, "error: can't use the kubeconfig $folder/b: ");
    Row::with("another kind", kubeconfig(|config| config["kind"] = json!("Pod")))
        .both(FAILED, "its kind is Pod, not Config");
    Row::with("another version", kubeconfig(|config| config["apiVersion"] = json!("v2"))).both(FAILED, "is v2, not v1");
    Row::with("no kind", kubeconfig(|config| drop(config.as_object_mut().expect("a map").remove("kind"))))
        .both(REACHED, "");
    Row::with("a byte order mark", [b"\xEF\xBB\xBF".as_slice(), plain().as_bytes()].concat()).both(REACHED, "");
    let with_comments = |(key, value)| format!("{key}:\n{}  {value}\n", "# comment\n".repeat(40));
    let config: BTreeMap<String, Value> = serde_json::from_str(&plain()).expect("JSON");
    Row::with("comments", config.into_iter().map(with_comments).collect::<String>()).both(REACHED, "");
    Row::with("unknown fields", kubeconfig(|config| config["clusters"][0]["cluster"]["x"] = json!({"y": [1]})))
        .both(REACHED, "");
    Row::with("null lists", kubeconfig(|config| config["extensions"] = Value::Null)).both(REACHED, "");
}

#[test]
fn files_are_merged_as_kubectl_does() {
    let two = |feature: &str, a: String, b: String| {
        Row::new(feature).file("a", a).file("b", b).variable("KUBECONFIG", "$folder/a:$folder/b")
    };
    two("the first entry of a name wins", plain(), impostor()).both(REACHED, "of $folder/a\n");
    two("the first entry of a name wins, the other way round", impostor(), plain()).both(IMPOSTOR, "of $folder/a\n");
    let empty_current = kubeconfig(|config| config["current-context"] = json!(""));
    two("an empty current-context is none", json!({"current-context": ""}).to_string(), plain())
        .both(REACHED, "of $folder/b\n");
    two("a current-context of the second file", empty_current.clone(), plain()).both(REACHED, "of $folder/a\n");
    let other = kubeconfig(|config| {
        config["current-context"] = json!("other");
        config["contexts"][0]["name"] = json!("other");
        config["contexts"][0]["context"]["cluster"] = json!("other");
        config["clusters"][0] = json!({"name": "other", "cluster": {"server": "https://$impostor"}});
    });
    two("the first current-context wins", plain(), other.clone()).both(REACHED, "context admin of $folder/a\n");
    two("the first current-context wins, the other way round", other.clone(), plain())
        .both(IMPOSTOR, "context other of");
    two("--context", other.clone(), plain()).argument("--context=admin").both(REACHED, "context admin of $folder/b\n");
    two("--context of none", other, plain())
        .argument("--context=absent")
        .both(FAILED, "no context `absent` in $folder/a, $folder/b; known contexts: other, admin\n");
    let of = |key: &str| {
        let whole: Value = serde_json::from_str(&plain()).expect("JSON");
        json!({(key): whole[key]}).to_string()
    };
    Row::new("each part in a file of its own")
        .file("a", of("current-context"))
        .file("b", of("contexts"))
        .file("c", of("users"))
        .file("d", of("clusters"))
        .variable("KUBECONFIG", "$folder/a:$folder/b:$folder/c:$folder/d")
        .both(REACHED, "of $folder/b\n");
    two("entries are not merged", with_user(json!({"token": "nonsense"})), with_user(json!({"tokenFile": "token"})))
        .file("token", token())
        .both(FAILED, "Unauthorized");
    Row::with("no current-context", empty_current)
        .both(FAILED, "choose a context with --context; known contexts: admin\n");
    let twice = kubeconfig(|config| {
        let one = config["users"][0].clone();
        config["users"].as_array_mut().expect("a list").push(one);
    });
    Row::with("a name twice in a file", twice).both(FAILED, "duplicate name `admin` in users");
    let broken = kubeconfig(|config| {
        let contexts = config["contexts"].as_array_mut().expect("a list");
        contexts.extend([json!({"name": "broken"}), json!({"name": "other", "context": {"user": "absent"}})]);
    });
    Row::with("a context that is not chosen may be incomplete", broken).both(REACHED, "");
    let missing = |key: &str| kubeconfig(|config| config["contexts"][0]["context"][key] = json!("absent"));
    Row::with("a cluster that is missing", missing("cluster"))
        .both(FAILED, "names the cluster `absent`, which is not in");
    Row::with("a user that is missing", missing("user")).both(FAILED, "names the user `absent`, which is not in");
}

#[test]
fn clusters_are_read_as_kubectl_does() {
    let without =
        |key: &'static str| with_cluster(move |cluster| drop(cluster.as_object_mut().expect("a map").remove(key)));
    let with = |fields: Value| {
        with_cluster(|cluster| {
            cluster.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone())
        })
    };
    let of_server = |fields: Value, server: &str| {
        with_cluster(|cluster| {
            *cluster = fields;
            cluster["server"] = json!(server);
        })
    };
    let only = |fields: Value| of_server(fields, CLUSTER.url());
    Row::with("a relative certificate-authority", with(json!({"certificate-authority": "ca/ca.crt"})))
        .file("ca/ca.crt", authority())
        .both(REACHED, "");
    Row::with("certificate-authority-data", only(json!({"certificate-authority-data": authority_data()})))
        .both(REACHED, "");
    let lines = in_lines(&authority_data());
    Row::with("base64 with line breaks", only(json!({"certificate-authority-data": lines}))).both(REACHED, "");
    Row::with(
        "an empty certificate-authority is none",
        with(json!({"certificate-authority": "", "certificate-authority-data": authority_data()})),
    )
    .both(REACHED, "");
    Row::with("both authorities", with(json!({"certificate-authority-data": authority_data()})))
        .both(FAILED, "`certificate-authority` and `certificate-authority-data` exclude each other");
    Row::with("an authority that is missing", with(json!({"certificate-authority": "absent.crt"}))).both(
        FAILED,
        "can't use cluster `e2e` in $folder/config: can't read `certificate-authority` $folder/absent.crt: ",
    );
    Row::with(
        "an authority that is no certificate",
        only(json!({"certificate-authority-data": BASE64_STANDARD.encode("x")})),
    )
    .both(FAILED, "`certificate-authority-data`: it has no certificate in PEM");
    Row::with("an authority that is no base64", only(json!({"certificate-authority-data": "!"})))
        .both(FAILED, "`certificate-authority-data` is not base64");
    Row::with("no authority", without("certificate-authority")).both(FAILED, "invalid peer certificate");
    Row::with("insecure-skip-tls-verify", only(json!({"insecure-skip-tls-verify": true}))).both(REACHED, "");
    Row::with("insecure-skip-tls-verify and an authority", with(json!({"insecure-skip-tls-verify": true})))
        .both(FAILED, "exclude each other");
    Row::with("tls-server-name", with(json!({"tls-server-name": "kubernetes"}))).both(REACHED, "");
    Row::with("a tls-server-name of another", with(json!({"tls-server-name": "other.example"})))
        .both(FAILED, "invalid peer certificate");
    Row::with("a tls-server-name that is no name", with(json!({"tls-server-name": "a b"})))
        .both(FAILED, "`tls-server-name` is not a host name");
    Row::with("a server without a scheme is plain HTTP", with(json!({"server": "127.0.0.1:$port"})))
        .both(FAILED, "note: cluster http://127.0.0.1:$port, ");
    // No token is sent, as each row checks.
    Row::with("plain HTTP", of_server(json!({}), "http://$impostor")).both(
        IMPOSTOR,
        "note: cluster http://$impostor, context admin of $folder/config, without credentials, since it is not HTTPS\n",
    );
    let anonymous = json!({
        "clusters": [{"name": "proxy", "cluster": {"server": "http://$impostor"}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy"}}],
        "current-context": "proxy",
    });
    Row::with("a context without a user", anonymous.to_string())
        .both(IMPOSTOR, "context proxy of $folder/config, without");
    Row::with("a server with a slash", with(json!({"server": "https://127.0.0.1:$port/"}))).both(REACHED, "");
    Row::with("no server", without("server")).both(FAILED, "it has no `server`");
    Row::with("an empty server", with(json!({"server": ""}))).both(FAILED, "it has no `server`");
    Row::with("a server of another scheme", with(json!({"server": "ftp://127.0.0.1:$port"})))
        .both(FAILED, "not an http:// or https:// URL");
    Row::with("a value of the wrong type", with(json!({"insecure-skip-tls-verify": "yes"})))
        .both(FAILED, "`insecure-skip-tls-verify` has a value of the wrong type");
    Row::with("disable-compression", with(json!({"disable-compression": true}))).both(REACHED, "");
}

fn in_lines(data: &str) -> String {
    data.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect()
}

/// Returns the user of a plugin that prints credentials if its environment is as given.
fn plugin(fields: Value) -> Value {
    let mut exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "./plugin.sh",
        "interactiveMode": "Never",
    });
    exec.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
    json!({"exec": exec})
}

fn provider(name: &str, config: Value) -> String {
    with_user(json!({"auth-provider": {"name": name, "config": config}}))
}

#[test]
fn users_are_read_as_kubectl_does() {
    Row::with("token", plain()).both(REACHED, "");
    Row::with("a wrong token", with_user(json!({"token": "nonsense"}))).both(FAILED, "Unauthorized");
    Row::with("a number as token", with_user(json!({"token": 17_171_717})))
        .both(FAILED, "can't use user `admin` in $folder/config: `token` has a value of");
    Row::with("a token with a newline", with_user(json!({"token": format!("{}\n", token())})))
        .both(FAILED, "`token` has invalid characters");
    let file = json!({"tokenFile": "token"});
    Row::with("tokenFile", with_user(file.clone())).file("token", token()).both(REACHED, "");
    Row::with("a tokenFile that ends in a newline", with_user(file.clone()))
        .file("token", format!("{}\n", token()))
        .both(REACHED, "");
    Row::with("a tokenFile that is missing", with_user(file)).both(FAILED, "unusable token file $folder/token: ");
    Row::with("tokenFile wins over token", with_user(json!({"tokenFile": "token", "token": "nonsense"})))
        .file("token", token())
        .both(REACHED, "");
    Row::with("an empty token is none", with_user(json!({"tokenFile": "token", "token": ""})))
        .file("token", token())
        .both(REACHED, "");
    Row::with("token where tokenFile is missing", with_user(json!({"tokenFile": "token", "token": token()})))
        .both(REACHED, "");
    Row::with("username and password", with_user(json!({"username": "admin", "password": "x"})))
        .both(FAILED, "system:anonymous");
    Row::with("token and username", with_user(json!({"token": token(), "username": "admin"})))
        .both(FAILED, "exclude each other");
    let (certificate, key) = CLUSTER.client_certificate().expect("a certificate");
    let [certificate_data, key_data] = [&certificate, &key].map(|pem| BASE64_STANDARD.encode(pem));
    let [certificate_lines, key_lines] = [&certificate_data, &key_data].map(|data| in_lines(data));
    let certified = |feature: &str, fields: Value| {
        Row::with(feature, with_user(fields)).file("c.crt", &certificate).file("c.key", &key)
    };
    for (feature, fields) in [
        ("client-certificate and client-key", json!({"client-certificate": "c.crt", "client-key": "c.key"})),
        ("their data", json!({"client-certificate-data": certificate_data, "client-key-data": key_data})),
        ("their data in lines", json!({"client-certificate-data": certificate_lines, "client-key-data": key_lines})),
        ("a file and data", json!({"client-certificate": "c.crt", "client-key-data": key_data})),
    ] {
        certified(feature, fields).both(REACHED, "");
    }
    let twice = json!({"client-certificate": "c.crt", "client-key": "c.key", "client-key-data": key_data});
    certified("a client-key twice", twice).both(FAILED, "`client-key` and `client-key-data` exclude each other");
    certified("a client-certificate that is missing", json!({"client-certificate": "d.crt", "client-key": "c.key"}))
        .both(FAILED, "$folder/d.crt");
    Row::with(
        "a client-certificate without a key",
        with_user(json!({"client-certificate-data": authority_data(), "token": token()})),
    )
    .both(FAILED, "client key");
    Row::with("as", with_user(json!({"token": token(), "as": "nobody"}))).both(FAILED, "cannot list resource");
    Row::with("as-groups", with_user(json!({"token": token(), "as": "nobody", "as-groups": ["system:masters"]})))
        .both(REACHED, "");
    Row::with("as-groups without as", with_user(json!({"token": token(), "as-groups": ["system:masters"]})))
        .both(FAILED, "need `as`");
    Row::with("no credentials", with_user(json!({}))).both(FAILED, "system:anonymous");

    let credentials = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": token()},
    });
    let exec = |feature: &str, fields: Value, script: &str| {
        Row::with(feature, with_user(plugin(fields)))
            .file("plugin.sh", format!("#!/bin/sh\n{script}\necho '{credentials}'"))
    };
    exec("exec", json!({}), "").both(REACHED, "");
    exec(
        "exec with arguments and variables",
        json!({"args": ["", "b"], "env": [{"name": "A", "value": "c"}]}),
        "[ \"$1$2$A\" = bc ] || exit 1",
    )
    .both(REACHED, "");
    exec("exec with null fields", json!({"args": null, "env": null, "installHint": null}), "").both(REACHED, "");
    exec(
        "provideClusterInfo",
        json!({"provideClusterInfo": true}),
        "case $KUBERNETES_EXEC_INFO in *127.0.0.1*) ;; *) exit 1 ;; esac",
    )
    .both(REACHED, "");
    exec("exec without interactiveMode", json!({"interactiveMode": null}), "").differs(FAILED, REACHED, "");
    exec("a plugin that fails", json!({}), "exit 3").both(FAILED, "status");
    exec("a plugin that is missing", json!({"command": "absent-plugin"}), "").both(FAILED, "absent-plugin");

    let claims = |expiry: u64| BASE64_URL_SAFE_NO_PAD.encode(json!({"exp": expiry}).to_string());
    CLUSTER.create_namespace("kubeconfig");
    CLUSTER
        .kubectl(&[
            "create",
            "clusterrolebinding",
            "kubeconfig",
            "--clusterrole=cluster-admin",
            "--serviceaccount=kubeconfig:oidc",
        ])
        .ok();
    CLUSTER.kubectl(&["create", "serviceaccount", "oidc", "-n", "kubeconfig"]).ok();
    let valid = CLUSTER.service_account("kubeconfig", "oidc").token().to_owned();
    let oidc = |token: &str| {
        provider("oidc", json!({"client-id": "a", "idp-issuer-url": "https://127.0.0.1:1", "id-token": token}))
    };
    Row::with("auth-provider oidc", oidc(&valid)).both(REACHED, "");
    Row::with("auth-provider oidc, expired", oidc(&format!("e30.{}.c2ln", claims(1_000_000_000))))
        .both(FAILED, "can't use user `admin` in $folder/config: the id-token of the auth-provider oidc has expired");
    Row::with("auth-provider oidc without a token", oidc("")).both(FAILED, "kubectl oidc-login");
    Row::with("auth-provider gcp", provider("gcp", json!({"access-token": "a"})))
        .both(FAILED, "gke-gcloud-auth-plugin");
    Row::with("auth-provider azure", provider("azure", json!({}))).both(FAILED, "kubelogin");
    Row::with("another auth-provider", provider("absent", json!({})))
        .both(FAILED, "the auth-provider absent is not supported");
}

/// Returns a kubeconfig with the server 0.0.0.0. It is this machine, but not loopback, which is never reached through a proxy.
fn behind_proxy(change: impl FnOnce(&mut Value)) -> String {
    with_cluster(|cluster| {
        cluster["server"] = json!("https://0.0.0.0:$port");
        cluster["tls-server-name"] = json!("kubernetes");
        change(cluster);
    })
}

/// With the scheme of the URL.
const KINDS: [(ProxyKind, &str); 3] =
    [(ProxyKind::Http, "http"), (ProxyKind::Https, "https"), (ProxyKind::Socks5, "socks5")];

/// Writes the CAs of the API server and of the proxy.
fn both_authorities(row: Row) -> Row {
    row.file("ca.crt", authority() + "$proxy_ca")
}

#[test]
fn a_proxy_url_is_used_as_kubectl_does() {
    let of = |feature: String, url: &str| {
        let config = behind_proxy(|cluster| {
            cluster["proxy-url"] = json!(url);
            cluster["certificate-authority"] = json!("ca.crt");
        });
        both_authorities(Row::with(feature, config))
    };
    for (kind, scheme) in KINDS {
        let says = format!("through the proxy {scheme}://$proxy (proxy-url)\n");
        let plain = format!("{scheme}://$proxy");
        of(format!("{scheme} proxy-url"), &plain).proxy(kind).both(THROUGH_PROXY, &says);
        of(format!("{scheme} proxy-url and NO_PROXY"), &plain)
            .proxy(kind)
            .variable("NO_PROXY", "*")
            .both(THROUGH_PROXY, &says);
        of(format!("{scheme} proxy-url wins over HTTPS_PROXY"), &plain)
            .proxy(kind)
            .variable("HTTPS_PROXY", "http://127.0.0.1:1")
            .both(THROUGH_PROXY, &says);
        of(format!("{scheme} proxy-url with a password"), &format!("{scheme}://user:{ENCODED_PASSWORD}@$proxy"))
            .proxy_with_password(kind)
            .both(THROUGH_PROXY, &says);
        of(format!("{scheme} proxy-url with a wrong password"), &format!("{scheme}://user:{ENCODED_PASSWORD}x@$proxy"))
            .proxy_with_password(kind)
            .both(FAILED, &format!(": through the proxy {scheme}://$proxy: "));
        of(format!("{scheme} proxy-url without a password"), &plain)
            .proxy_with_password(kind)
            .both(FAILED, &format!(": through the proxy {scheme}://$proxy: "));
        of(format!("{scheme} proxy-url of none"), &format!("{scheme}://127.0.0.1:1"))
            .both(FAILED, &format!(": through the proxy {scheme}://127.0.0.1:1: "));
        let config = with_cluster(|cluster| {
            cluster["server"] = json!("https://api.invalid:$port");
            cluster["tls-server-name"] = json!("kubernetes");
            cluster["proxy-url"] = json!(plain);
            cluster["certificate-authority"] = json!("ca.crt");
        });
        both_authorities(Row::with(format!("{scheme} proxy resolves the name"), config))
            .proxy(kind)
            .both(THROUGH_PROXY, &says);
    }
    let foreign = behind_proxy(|cluster| cluster["proxy-url"] = json!("https://$proxy"));
    Row::with("an https proxy of another authority", foreign)
        .proxy(ProxyKind::Https)
        .both(FAILED, "invalid peer certificate");
    of("an empty proxy-url is none".to_owned(), "").both(REACHED, "");
    for scheme in ["socks5h", "socks4", "ftp"] {
        of(format!("{scheme} proxy-url"), &format!("{scheme}://$proxy"))
            .proxy(ProxyKind::Socks5)
            .both(FAILED, &format!("proxy-url names a proxy with the scheme {scheme}, which is not supported"));
    }
    of("proxy-url without a scheme".to_owned(), "$proxy")
        .proxy(ProxyKind::Http)
        .both(FAILED, "proxy-url is not a proxy's URL");
}

#[test]
fn the_proxy_of_the_environment_is_used_as_kubectl_does() {
    let of = |feature: String| {
        both_authorities(Row::with(feature, behind_proxy(|cluster| cluster["certificate-authority"] = json!("ca.crt"))))
    };
    for (kind, scheme) in KINDS {
        of(format!("HTTPS_PROXY of {scheme}"))
            .proxy(kind)
            .variable("HTTPS_PROXY", format!("{scheme}://$proxy"))
            .both(THROUGH_PROXY, &format!("through the proxy {scheme}://$proxy (HTTPS_PROXY)\n"));
        of(format!("HTTPS_PROXY of {scheme} with a password"))
            .proxy_with_password(kind)
            .variable("HTTPS_PROXY", format!("{scheme}://user:{ENCODED_PASSWORD}@$proxy"))
            .both(THROUGH_PROXY, &format!("through the proxy {scheme}://$proxy (HTTPS_PROXY)\n"));
    }
    of("HTTPS_PROXY of socks5h".to_owned())
        .proxy(ProxyKind::Socks5)
        .variable("HTTPS_PROXY", "socks5h://$proxy")
        .both(THROUGH_PROXY, "");
    let http = |feature: &str| of(feature.to_owned()).proxy(ProxyKind::Http);
    http("https_proxy").variable("https_proxy", "http://$proxy").both(THROUGH_PROXY, "(https_proxy)\n");
    http("HTTPS_PROXY wins over https_proxy")
        .variable("HTTPS_PROXY", "http://$proxy")
        .variable("https_proxy", "http://127.0.0.1:1")
        .both(THROUGH_PROXY, "(HTTPS_PROXY)\n");
    http("an empty HTTPS_PROXY is not set")
        .variable("HTTPS_PROXY", "")
        .variable("https_proxy", "http://$proxy")
        .both(THROUGH_PROXY, "(https_proxy)\n");
    http("HTTPS_PROXY without a scheme").variable("HTTPS_PROXY", "$proxy").both(THROUGH_PROXY, "");
    http("HTTP_PROXY and ALL_PROXY are not for https")
        .variable("HTTP_PROXY", "http://$proxy")
        .variable("ALL_PROXY", "http://$proxy")
        .both(REACHED, "");
    Row::with("loopback is not sent through a proxy", plain())
        .proxy(ProxyKind::Http)
        .variable("HTTPS_PROXY", "http://$proxy")
        .both(REACHED, "");
    of("a proxy that is not there".to_owned())
        .variable("HTTPS_PROXY", "http://127.0.0.1:1")
        .both(FAILED, ": through the proxy http://127.0.0.1:1: ");
    let plain_http = with_cluster(|cluster| *cluster = json!({"server": "http://0.0.0.0:$impostor_port"}));
    for (name, outcome) in [("HTTP_PROXY", Outcome { through_proxy: true, ..IMPOSTOR }), ("HTTPS_PROXY", IMPOSTOR)] {
        Row::with(format!("{name} and a http server"), &plain_http)
            .proxy(ProxyKind::Http)
            .variable(name, "http://$proxy")
            .both(outcome, "");
    }
    of("a HTTPS_PROXY that is no URL".to_owned())
        .variable("HTTPS_PROXY", format!("http://user:{ENCODED_PASSWORD}@[x"))
        .both(FAILED, "HTTPS_PROXY is not a proxy's URL");
}

#[test]
fn exceptions_are_made_as_kubectl_does() {
    for (exceptions, outcome) in [
        ("0.0.0.0", REACHED),
        ("0.0.0.0:$port", REACHED),
        ("0.0.0.0:1", THROUGH_PROXY),
        ("0.0.0.0/8", REACHED),
        ("10.0.0.0/8", THROUGH_PROXY),
        ("*", REACHED),
        ("10.0.0.0/8, .example.com ,0.0.0.0", REACHED),
        ("10.0.0.0/99,!!,:,[,0.0.0.0/33", THROUGH_PROXY),
        (".0.0", THROUGH_PROXY),
    ] {
        for name in ["NO_PROXY", "no_proxy"] {
            Row::with(format!("{name}={exceptions}"), behind_proxy(|_| ()))
                .proxy(ProxyKind::Http)
                .variable("HTTPS_PROXY", "http://$proxy")
                .variable(name, exceptions)
                .both(outcome, "");
        }
    }
    // Only the proxy resolves the name.
    for (exceptions, outcome) in [
        ("api.invalid", FAILED),
        ("invalid", FAILED),
        (".invalid", FAILED),
        ("*.invalid", FAILED),
        ("API.INVALID:$port", FAILED),
        ("api.invalid:1", THROUGH_PROXY),
        ("pi.invalid", THROUGH_PROXY),
        (".api.invalid", THROUGH_PROXY),
    ] {
        let config = with_cluster(|cluster| {
            cluster["server"] = json!("https://api.invalid:$port");
            cluster["tls-server-name"] = json!("kubernetes");
        });
        Row::with(format!("NO_PROXY={exceptions}"), config)
            .proxy(ProxyKind::Http)
            .variable("HTTPS_PROXY", "http://$proxy")
            .variable("NO_PROXY", exceptions)
            .both(outcome, "");
    }
}

#[test]
fn a_pods_own_cluster_is_used_only_if_none_is_named() {
    let pod = |feature: &str| Row::new(feature).in_pod();
    pod("a Pod").both(REACHED, "note: cluster https://127.0.0.1:$port, the Pod's own, with its service account\n");
    pod("a Pod with a kubeconfig")
        .file("a", impostor())
        .variable("KUBECONFIG", "$folder/a")
        .both(IMPOSTOR, "of $folder/a\n");
    pod("a Pod with a default file").file(".kube/config", impostor()).both(IMPOSTOR, "of $folder/.kube/config\n");
    pod("a Pod with a broken kubeconfig")
        .file("a", "a: [")
        .variable("KUBECONFIG", "$folder/a")
        .both(FAILED, "can't use the kubeconfig $folder/a");
    pod("a Pod with a current-context that is missing")
        .file("a", kubeconfig(|config| config["current-context"] = json!("absent")))
        .variable("KUBECONFIG", "$folder/a")
        .both(FAILED, "no context `absent`");
    pod("a Pod with a proxy")
        .proxy(ProxyKind::Http)
        .variable("KUBERNETES_SERVICE_HOST", "0.0.0.0")
        .variable("HTTPS_PROXY", "http://$proxy")
        .both(
            NOT_FROM_PROXY,
            "the Pod's own, with its service account, through the proxy http://$proxy (HTTPS_PROXY)\n",
        );
    // kubectl prints nothing or a warning, and uses the Pod's own cluster.
    pod("a Pod with a KUBECONFIG that is missing").variable("KUBECONFIG", "$folder/missing").differs(
        REACHED,
        FAILED,
        "KUBECONFIG is set to `$folder/missing`, and no such file exists",
    );
    pod("a Pod with an empty default file").file(".kube/config", "").differs(
        REACHED,
        FAILED,
        "no current-context in $folder/.kube/config",
    );
}

/// The other commands use the same cluster.
#[test]
fn doctor_and_serve_use_the_same_cluster() {
    let proxy = Proxy::start(ProxyKind::Http, Some(("user", "hunter2"))).expect("a proxy");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config");
    let port = CLUSTER.url().rsplit(':').next().expect("a port");
    let mut namespaced: Value = serde_json::from_str(&behind_proxy(|_| ()).replace("$port", port)).expect("JSON");
    CLUSTER.create_namespace("through-proxy");
    namespaced["contexts"][0]["context"]["namespace"] = json!("through-proxy");
    namespaced["clusters"][0]["cluster"]["proxy-url"] = json!(proxy.url("user:hunter2@"));
    std::fs::write(&file, namespaced.to_string()).expect("a file");

    let mut doctor = Command::new(env!("CARGO_BIN_EXE_pullthrough"));
    let output = doctor.arg("doctor").arg("--kubeconfig").arg(&file).output().expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr);
    let cluster = format!(
        "cluster https://0.0.0.0:{port}, context admin of {}, through the proxy {} (proxy-url)",
        file.display(),
        proxy.url("")
    );
    assert_eq!(told.trim_end(), format!("note: {cluster}"));
    assert!(proxy.tunnels() > 0 && !output.stdout.is_empty(), "{told}");

    let before = proxy.tunnels();
    let webhook = Webhook::start_managed(&rules("", KUBERNETES), &file, &["--webhook-configuration=absent"])
        .expect("the server starts");
    webhook.wait_for_log(cluster.strip_prefix("cluster ").expect("the log names the cluster"));
    assert!(crate::harness::wait_for(crate::DEADLINE, || (proxy.tunnels() > before).then_some(())).is_ok());
    assert!(!webhook.log().contains("hunter2"));
}
