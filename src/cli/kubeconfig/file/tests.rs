use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const CLUSTER: [&str; 10] = [
    "proxy-url: socks5://a:b@c",
    "proxy-url: ':'",
    "tls-server-name: ..",
    "certificate-authority: /",
    "certificate-authority-data: LS0=",
    "insecure-skip-tls-verify: true",
    "disable-compression: 1",
    "server: null",
    "extensions: [{}]",
    "'': &a [*a]",
];
const USER: [&str; 12] = [
    "token: a",
    "token: \"a\\x7f\"",
    "tokenFile: a",
    "client-key-data: \"a\\r\"",
    "username: a",
    "as: a",
    "as-uid: 1",
    "as-user-extra: {a: [b]}",
    "exec: {command: a/b, args: null}",
    "exec: {apiVersion: a, provideClusterInfo: true, interactiveMode: Never}",
    "auth-provider: {name: oidc, config: {id-token: a.e30.b}}",
    "auth-provider: a",
];
const SERVERS: [&str; 6] = ["https://a", "a:443", "https://a:b@c", "'http://[::1]:1'", "ftp://a", "' '"];

/// A kubeconfig whose context is complete, with `noise` in one of its lines.
fn kubeconfig() -> impl Strategy<Value = Vec<u8>> {
    let parts = (select(&SERVERS[..]), vec(select(&CLUSTER[..]), 0..4), vec(select(&USER[..]), 0..4));
    (parts, proptest::option::weighted(0.2, (any::<prop::sample::Index>(), ".{0,9}"))).prop_map(
        |((server, cluster, user), noise)| {
            let fields = |fields: Vec<&str>| fields.iter().map(|field| format!("\n    {field}")).collect::<String>();
            let text = format!(
                "current-context: a\ncontexts:\n- name: a\n  context:\n    cluster: a\n    user: a\nclusters:\n- name: \
                 a\n  cluster:\n    server: {server}{}\nusers:\n- name: a\n  user:\n    x: y{}\n",
                fields(cluster),
                fields(user)
            );
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            if let Some((index, noise)) = noise {
                index.get_mut(&mut lines).push_str(&noise);
            }
            lines.join("\n").into_bytes()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn any_text_is_used_or_rejected(bytes in prop_oneof![1 => any::<Vec<u8>>(), 9 => kubeconfig()]) {
        if let Ok(content) = parse(&bytes) {
            let _ = target(&[File { path: "/folder/config".into(), content }], None);
        }
    }
}
