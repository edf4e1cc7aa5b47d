//! Managed certificates: rotated under load, and repaired after damage.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::cluster::{Cluster, folder, write};
use crate::harness::{self, Client, Server, certificates, wait_for};
use crate::installation::{NAMESPACE, rewrites};
use crate::load::Load;
use crate::replicas::{self, Replicas};
use crate::step;

const SECRET: &str = "pullthrough-tls";
const CONFIGURATION: &str = "mutatingwebhookconfiguration/zz-pullthrough";
const HOST: &str = "pullthrough.pullthrough.svc";
const REPLICAS: usize = 3;
const ROTATIONS: usize = 10;
const LIFETIME: &str = "--certificate-lifetime=";
/// Certificates are renewed at half of their lifetime.
const LIFETIME_SECS: u64 = 60;
const ROTATIONS_DEADLINE: Duration = Duration::from_secs(LIFETIME_SECS * (ROTATIONS as u64 + 2));
const OUTAGE: Duration = Duration::from_secs(30);
/// A CA is published for 5 s before its certificate is served. Two polls may shorten the measured time.
const SETTLED: Duration = Duration::from_secs(4);
/// The interval of 3 s, and the 5 s in which a published CA settles.
const REPAIRED: Duration = Duration::from_secs(20);
/// The time that the cluster needs after an outage. It includes kube-proxy, which restores the way to the API server.
const IN_ORDER: Duration = Duration::from_secs(180);

/// Sets three replicas, certificates of one minute, and `failurePolicy: Fail`.
fn shorten(cluster: &Cluster) {
    let replicas = Replicas::of(cluster);
    step("three replicas with certificates of one minute are ready", || {
        fail_closed(cluster);
        replicas.scale(REPLICAS);
        let get = ["get", "deployment/pullthrough", "--namespace", NAMESPACE, "--output=json"];
        let arguments = &cluster.kubectl(&get).json()["spec"]["template"]["spec"]["containers"][0]["args"];
        let is_lifetime = |argument: &Value| argument.as_str().is_some_and(|text| text.starts_with(LIFETIME));
        let index = arguments.as_array().and_then(|arguments| arguments.iter().position(is_lifetime));
        let argument = json!([{
            "op": "replace",
            "path": format!("/spec/template/spec/containers/0/args/{}", index.expect("a lifetime")),
            "value": format!("{LIFETIME}{LIFETIME_SECS}s"),
        }]);
        patch(cluster, "deployment/pullthrough", &argument);
        replicas.wait_until_settled(REPLICAS);
        let is_short = || serving(cluster).filter(|leaf| ends_in_secs(leaf) <= LIFETIME_SECS as i64).map(drop);
        if is_short().is_none() {
            // There is a valid certificate of three months.
            delete_secret(cluster);
        }
        wait_for(REPAIRED, is_short).expect("a certificate of a minute");
    });
}

pub fn rotate(cluster: &mut Cluster) {
    shorten(cluster);
    let replicas = Replicas::of(cluster);
    let load = Load::start(cluster);
    let watch = Watch::start(cluster);
    let seen = step("ten rotations", || {
        let rotated = wait_for(ROTATIONS_DEADLINE, || watch.check(|seen| seen.rotations() >= ROTATIONS));
        rotated.unwrap_or_else(|error| panic!("{error:#}: {:?}", watch.check(|_| true)));
        watch.stop()
    });
    let outcome = load.stop();
    println!("          {outcome}");
    println!(
        "          {} handshakes with {} replicas, each verified with the caBundle of before",
        seen.handshakes, REPLICAS
    );
    outcome.assert_nothing_lost("ten rotations");
    assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
    let settled = seen.settled.expect("rotations");
    println!(
        "          a CA was published for at least {:.1} s before its certificate was served",
        settled.as_secs_f64()
    );
    assert!(settled >= SETTLED);
    let restarts = replicas.pods().iter().map(restarts).sum::<u64>();
    assert_eq!(restarts, 0);
}

/// Damages certificates, and waits for the repair.
pub fn recover(cluster: &mut Cluster) {
    shorten(cluster);
    for (what, refuses, act) in [
        ("the Secret is deleted", false, delete_secret as fn(&Cluster)),
        ("the Secret is filled with garbage", false, fill_secret_with_garbage),
        // Without `caBundle` the API server trusts the CAs of its system. So Pods are denied until it is set again.
        ("caBundle is emptied", true, empty_bundle),
    ] {
        let load = Load::start(cluster);
        let before = serving(cluster);
        step(&format!("{what}; it is repaired"), || {
            act(cluster);
            wait_until_in_order(cluster, || refuses || serving(cluster) != before);
        });
        let outcome = load.stop();
        println!("          {outcome}");
        if !refuses {
            outcome.assert_nothing_lost(what)
        } else {
            assert_eq!((outcome.slipped_through(), outcome.unanswered()), (0, 0), "{outcome}")
        }
    }
    start_with_a_wrong_clock(cluster);
    survive_an_outage(cluster);
}

/// Stops the API server for longer than the time to the next rotation.
fn survive_an_outage(cluster: &mut Cluster) {
    let first = serving(cluster);
    let before: Vec<_> = Replicas::of(cluster).pods().iter().map(uid).collect();
    step("stop the API server for 30 s, and start it", || {
        cluster.control_plane.stop_api_server().unwrap();
        thread::sleep(OUTAGE);
        cluster.control_plane.resume_api_server().unwrap();
    });
    step("the certificates are renewed, and Pods are rewritten", || {
        wait_until_in_order(cluster, || serving(cluster) != first);
    });
    rewrites(cluster);
    let pods = Replicas::of(cluster).pods();
    assert_eq!(pods.iter().map(uid).collect::<Vec<_>>(), before);
    assert_eq!(pods.iter().map(restarts).sum::<u64>(), 0);
}

/// Starts another replica on the node, whose clock is months ahead: first alone, and then beside others.
fn start_with_a_wrong_clock(cluster: &Cluster) {
    let replicas = Replicas::of(cluster);
    step("a replica with a wrong clock issues a valid certificate", || {
        replicas.scale(0);
        replicas.wait_until_settled(0);
        delete_secret(cluster);
        let ahead = start_ahead(cluster);
        let made = wait_for(REPAIRED, || serving(cluster)).expect("a certificate");
        let left = ends_in_secs(&made);
        assert!((1..=LIFETIME_SECS as i64).contains(&left), "it expires in {left} s");
        wait_for(REPAIRED, || ahead.log().contains("loaded the certificate of the Secret").then_some(())).unwrap();
        assert!(ahead.log().contains("this machine's clock differs from the API server's"), "{}", ahead.log());
        // The others accept the certificate, and all replicas agree on the time of renewal.
        replicas.scale(REPLICAS);
        replicas.wait_until_settled(REPLICAS);
        rewrites(cluster);
        let log = ahead.log();
        let first = log.find("certificate and trusted CAs written").expect("the first certificate");
        let reasons = log[first + 1..].lines().filter(|line| line.contains("certificate and trusted CAs written"));
        for line in reasons.skip(1) {
            assert!(
                line.contains("half of its lifetime is over") || line.contains("the trusted CAs changed"),
                "{line}"
            );
        }
    });
}

/// Starts the replica with Debian's faketime, and the permissions of the service account.
fn start_ahead(cluster: &Cluster) -> Server {
    let folder = folder().unwrap();
    let control_plane = &cluster.control_plane;
    let token = control_plane.service_account(NAMESPACE, "pullthrough");
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {
            "server": control_plane.url(),
            "certificate-authority": control_plane.certificate_authority(),
        }}],
        "users": [{"name": "u", "user": {"token": token.token()}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        "current-context": "c",
    });
    let kubeconfig = write(&folder, "kubeconfig", &kubeconfig.to_string()).unwrap();
    let command = [
        &format!("KUBECONFIG={}", kubeconfig.display()),
        // The variables that `faketime` sets. Its process would continue after its child ends. The dynamic linker replaces $LIB.
        "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        // Later than the end of any serving certificate. The API server's certificate is valid for a year.
        "FAKETIME=+100d",
        env!("CARGO_BIN_EXE_pullthrough"),
        "serve",
        "--cache=cache.example.com/k8s",
        "--manage-certificates",
        &format!("{LIFETIME}{LIFETIME_SECS}s"),
        "--listen=127.0.0.1:0",
        "--metrics-listen=127.0.0.1:0",
        "--log-format=json",
    ];
    Server::start("env".as_ref(), command, &folder).unwrap()
}

/// Waits until the stored certificate is published, all replicas serve it, and Pods are rewritten.
fn wait_until_in_order(cluster: &Cluster, changed: impl Fn() -> bool) {
    let replicas = Replicas::of(cluster);
    let in_order = wait_for(IN_ORDER, || {
        let (bundle, leaf) = (published(&replicas.client)?, serving(cluster)?);
        let pods = replicas.pods();
        let serve_it = pods.iter().all(|pod| handshake(pod, &bundle).is_ok_and(|shown| shown == leaf));
        (changed() && pods.len() == REPLICAS && serve_it).then_some(())
    });
    in_order.unwrap_or_else(|error| panic!("the certificates: {error:#}"));
    rewrites(cluster);
}

/// Repeated handshakes with every replica.
struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<std::sync::Mutex<Seen>>,
    thread: JoinHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    handshakes: usize,
    /// The time at which each CA was published.
    published: Vec<(CertificateDer<'static>, Instant)>,
    /// The certificates that each Pod has served, in order.
    served: BTreeMap<String, Vec<CertificateDer<'static>>>,
    /// The shortest time between the publication of a CA and the first use of its certificate.
    settled: Option<Duration>,
    faults: Vec<String>,
}

impl Watch {
    fn start(cluster: &Cluster) -> Self {
        let client = cluster.control_plane.client();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(std::sync::Mutex::default());
        let (stopped, seeing) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(&client, &seeing);
                thread::sleep(Duration::from_millis(250));
            }
        });
        Self { stop, seen, thread }
    }

    /// Returns the observations so far, if `enough` accepts them.
    fn check(&self, enough: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let seen = self.seen.lock().unwrap();
        enough(&seen).then(|| seen.clone())
    }

    fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watch runs until it is stopped");
        self.seen.lock().unwrap().clone()
    }
}

impl Seen {
    /// Returns the number of rotations that all replicas have completed.
    fn rotations(&self) -> usize {
        let changes = self.served.values().map(|served| served.len() - 1);
        if self.served.len() < REPLICAS { 0 } else { changes.min().unwrap_or_default() }
    }
}

fn look(client: &Client, seen: &std::sync::Mutex<Seen>) {
    let pods = client.get(&format!("/api/v1/namespaces/{NAMESPACE}/pods")).expect("the Pods");
    for pod in pods["items"].as_array().into_iter().flatten() {
        let name = replicas::name(pod).to_owned();
        let Some(bundle) = published(client) else {
            seen.lock().unwrap().faults.push("caBundle is empty".to_owned());
            continue;
        };
        let shown = handshake(pod, &bundle);
        let mut seen = seen.lock().unwrap();
        seen.handshakes += 1;
        for authority in &bundle {
            if !seen.published.iter().any(|(known, _)| known == authority) {
                seen.published.push((authority.clone(), Instant::now()));
            }
        }
        match shown {
            Ok(leaf) if seen.served.get(&name).and_then(|served| served.last()) == Some(&leaf) => {}
            Ok(leaf) => {
                let served = seen.served.entry(name).or_default();
                served.push(leaf);
                if served.len() > 1 {
                    // The newest CA comes first.
                    let (_, since) = seen.published.iter().find(|(known, _)| *known == bundle[0]).expect("published");
                    let settled = since.elapsed();
                    seen.settled = Some(seen.settled.map_or(settled, |least| least.min(settled)));
                }
            }
            Err(error) => seen.faults.push(format!("{name}: {error}")),
        }
    }
}

/// Returns the certificate that a Pod sends to a client which, like the API server, trusts these CAs.
fn handshake(pod: &Value, bundle: &[CertificateDer<'static>]) -> io::Result<CertificateDer<'static>> {
    let address = format!("{}:8443", pod["status"]["podIP"].as_str().unwrap_or_default());
    harness::handshake(address.parse().map_err(io::Error::other)?, HOST, bundle)
}

/// Returns the CAs in `caBundle`, or `None` if it is empty.
fn published(client: &Client) -> Option<Vec<CertificateDer<'static>>> {
    let path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-pullthrough";
    let configuration = client.get(path).expect("the configuration");
    let bundle = certificates(&configuration["webhooks"][0]["clientConfig"]["caBundle"]);
    (!bundle.is_empty()).then_some(bundle)
}

/// Returns the serving certificate in the Secret, if it is valid.
fn serving(cluster: &Cluster) -> Option<CertificateDer<'static>> {
    let get = ["get", "secret", SECRET, "--namespace", NAMESPACE, "--ignore-not-found", "--output=json"];
    let secret: Value = serde_json::from_str(&cluster.kubectl(&get).ok()).ok()?;
    certificates(&secret["data"]["tls.crt"]).into_iter().next()
}

fn ends_in_secs(certificate: &CertificateDer<'_>) -> i64 {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).expect("a certificate");
    parsed.validity().time_to_expiration().map_or(0, |left| left.whole_seconds())
}

fn fail_closed(cluster: &Cluster) {
    patch(cluster, CONFIGURATION, &json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]));
}

fn delete_secret(cluster: &Cluster) {
    cluster.kubectl(&["delete", "secret", SECRET, "--namespace", NAMESPACE]).ok();
}

fn fill_secret_with_garbage(cluster: &Cluster) {
    let garbage = BASE64_STANDARD.encode("garbage");
    let data = json!([{"op": "replace", "path": "/data", "value": {"ca.crt": garbage, "tls.crt": garbage, "tls.key": garbage}}]);
    patch(cluster, &format!("secret/{SECRET}"), &data);
}

fn empty_bundle(cluster: &Cluster) {
    patch(cluster, CONFIGURATION, &json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]));
}

fn patch(cluster: &Cluster, what: &str, patch: &Value) {
    cluster.kubectl(&["patch", what, "--namespace", NAMESPACE, "--type=json", "--patch", &patch.to_string()]).ok();
}

fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().expect("a UID").to_owned()
}

fn restarts(pod: &Value) -> u64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default()
}
