//! Small trees, one for each case.

use super::{Site, differences};

const RULES: &str = "
- {name: hub, from: [docker.io], to: cache.example.com/hub, namespaces: {exclude: [plain]}}
- {name: quay, from: [quay.io], to: cache.example.com/quay}
";

fn deployment(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  \
         template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      - name: web\n        image: {image}\n"
    )
}

struct Case<'c> {
    files: Vec<(&'c str, String)>,
    /// The kustomizations whose images differ from the rules, which must be reported.
    differing: &'c [&'c str],
    /// Texts that must be in the report.
    told: &'c [&'c str],
}

fn case<'c>(files: &[(&'c str, &str)]) -> Case<'c> {
    let files = files.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    Case { files, differing: &[], told: &[] }
}

#[track_caller]
fn check(Case { files, differing, told }: Case, arguments: &[&str]) {
    let (before, after) = (Site::new(RULES).with(&files), Site::new(RULES).with(&files));
    std::fs::create_dir(after.path(".git")).expect("a folder");
    let arguments = [&["-w"], arguments].concat();
    let run = after.rewrite_paths(&arguments, &[""]);
    assert_eq!(run.code, Some(0), "{files:?}\n{}", run.stderr);
    for part in told {
        assert!(run.stderr.contains(part), "{files:?}: {part}\n{}", run.stderr);
    }
    if told.is_empty() {
        assert_eq!(run.stderr.lines().count(), 1, "{files:?}\n{}", run.stderr);
    }
    let mut found = Vec::new();
    for name in before.kustomizations() {
        let Some(built) = before.build(&name) else { continue };
        // An object under `transformers` is not a manifest.
        if built.contains("kind: ImageTagTransformer") {
            continue;
        }
        let got = after.build(&name).unwrap_or_else(|| panic!("{name} is built: {files:?}"));
        if !differences(&before.rewritten(&built), &got).is_empty() {
            assert_eq!(built, got, "a reported kustomization must be unchanged");
            found.push(name);
        }
    }
    assert_eq!(found, differing, "{files:?}\n{}", run.stderr);
    let again = after.rewrite_paths(&arguments, &[""]);
    assert!(again.stderr.contains(": 0 images rewritten in 0, "), "{files:?}\n{}", again.stderr);
    let check = [&arguments[1..], &["--check"]].concat();
    assert_eq!(after.rewrite_paths(&check, &[""]).stdout, "", "{files:?}");
}

const BASE: &str = "resources: [web.yaml]\n";

#[test]
fn names_and_entries_change_in_step() {
    let web = deployment("controller:latest");
    let entry = "images:\n- name: controller\n  newName: quay.io/acme/operator\n  newTag: v1.2.3\n";
    let overlay = format!("resources: [../base]\n{entry}");
    let base = [("base/kustomization.yaml", BASE), ("base/web.yaml", web.as_str())];
    let with = |more: &[(&'static str, &str)]| case(&[&base[..], more].concat());
    let tag_alone = "resources: [../base]\nimages: [{name: controller, newTag: v2}]\n";
    let json_patch = "resources: [../base]\npatches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: replace\n      path: \
         /spec/template/spec/containers/0/image\n      value: nginx:1.25\nimages: [{name: nginx, newTag: '1.29'}]\n";
    let merge = "resources: [../base]\npatches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: \
                 web}\n    spec:\n      template:\n        spec:\n          containers:\n          - name: web\n            image: \
                 \"redis\" # here\n          - {name: other, image: quay.io/a/b:1}\nimages: [{name: redis, newTag: '8'}]\n";
    let merge_file = deployment("quay.io/a/b:1");
    let json_file = "- op: replace\n  path: /spec/template/spec/containers/0/image\n  value: quay.io/a/b:1\n";
    let transformer = format!(
        "apiVersion: builtin\nkind: ImageTagTransformer\nmetadata: {{name: t}}\n{}",
        "imageTag: {name: controller, newName: quay.io/acme/operator, newTag: v2}\n"
    );
    let component = format!("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{entry}");
    let cases = [
        with(&[("overlay/kustomization.yaml", &overlay)]),
        with(&[("overlay/kustomization.yaml", tag_alone)]),
        with(&[(
            "overlay/kustomization.yaml",
            &overlay.replace("resources", "bases").replace("images:", "imageTags:"),
        )]),
        with(&[(
            "overlay/kustomization.yaml",
            "resources: [../base]\nimages: [{name: controller, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}]\n",
        )]),
        // Two entries, one applied after the other.
        with(&[
            ("middle/kustomization.yml", &overlay),
            ("top/Kustomization", "resources: [../middle]\nimages: [{name: quay.io/acme/operator, newTag: v9}]\n"),
        ]),
        with(&[
            (
                "a/kustomization.yaml",
                "resources: [../base]\nimages: [{name: controller, newName: nginx, newTag: '1'}]\n",
            ),
            (
                "b/kustomization.yaml",
                "resources: [../base]\nimages: [{name: controller, newName: quay.io/x/y}, {name: quay.io/x/y, newTag: v3}]\n",
            ),
        ]),
        with(&[
            ("component/kustomization.yaml", &component),
            ("top/kustomization.yaml", "resources: [../base]\ncomponents: [../component]\n"),
        ]),
        with(&[
            ("top/kustomization.yaml", "resources: [../base]\ntransformers: [t.yaml]\n"),
            ("top/t.yaml", &transformer),
        ]),
        with(&[
            ("top/kustomization.yaml", "resources: [../base]\ntransformers: [../t]\n"),
            ("t/kustomization.yaml", "resources: [t.yaml]\n"),
            ("t/t.yaml", &transformer),
        ]),
        with(&[("top/kustomization.yaml", json_patch)]),
        with(&[("top/kustomization.yaml", merge)]),
        with(&[
            (
                "top/kustomization.yaml",
                "resources: [../base]\npatchesStrategicMerge: [p.yaml]\nimages: [{name: quay.io/a/b, newTag: '2'}]\n",
            ),
            ("top/p.yaml", &merge_file),
        ]),
        with(&[
            ("top/kustomization.yaml", "resources: [../base]\npatches: [{path: p.yaml, target: {kind: Deployment}}]\n"),
            ("top/p.yaml", json_file),
        ]),
        with(&[
            (
                "top/kustomization.yaml",
                "resources: [../base]\npatchesJson6902: [{path: p.yaml, target: {group: apps, version: v1, kind: Deployment, name: web}}]\n",
            ),
            ("top/p.yaml", json_file),
        ]),
        // An entry without a match, and an entry whose new name is the cache.
        with(&[(
            "top/kustomization.yaml",
            "resources: [../base]\nimages: [{name: absent, newTag: v1}, {name: controller, newName: cache.example.com/hub/library/controller}]\n",
        )]),
        // The name is a regular expression.
        with(&[(
            "top/kustomization.yaml",
            "resources: [../base]\nimages: [{name: 'contro[l]+er', newName: quay.io/a/b}]\n",
        )]),
    ];
    for case in cases {
        let told: &[&str] = if case.files.iter().any(|(_, text)| text.contains("contro[l]+er")) {
            &["note: base/kustomization.yaml: built alone, it gives controller:latest instead of cache"]
        } else {
            &[]
        };
        let differing: &[&str] = if told.is_empty() { &[] } else { &["base"] };
        check(Case { told, differing, ..case }, &[]);
    }
}

#[test]
fn the_case_of_the_issue() {
    let site = Site::new(RULES).with(&[
        ("base/kustomization.yaml", BASE.to_owned()),
        ("base/web.yaml", deployment("nginx:1.25 # here")),
        (
            "overlay/kustomization.yaml",
            "resources: [../base]\nimages:\n- name: nginx # web\n  newTag: \"1.29\"\n".to_owned(),
        ),
    ]);
    assert_eq!(site.rewrite_paths(&["-w"], &[""]).code, Some(0));
    let read = |name| std::fs::read_to_string(site.path(name)).expect("a file");
    assert!(read("base/web.yaml").ends_with("image: cache.example.com/hub/library/nginx:1.25 # here\n"));
    let overlay =
        "resources: [../base]\nimages:\n- name: cache.example.com/hub/library/nginx # web\n  newTag: \"1.29\"\n";
    assert_eq!(read("overlay/kustomization.yaml"), overlay);
}

/// If a change would be wrong for one user of a file, the file is unchanged and reported.
#[test]
fn what_can_not_change_in_step_stays() {
    let web = deployment("nginx:1.25");
    let overlay = |namespace: &str| {
        format!("namespace: {namespace}\nresources: [../base]\nimages: [{{name: nginx, newTag: '1.29'}}]\n")
    };
    let base = [("base/kustomization.yaml", BASE), ("base/web.yaml", web.as_str())];
    let two = case(
        &[&base[..], &[("a/kustomization.yaml", &overlay("shop")), ("b/kustomization.yaml", &overlay("plain"))]]
            .concat(),
    );
    check(
        Case {
            told: &["note: base/kustomization.yaml: built alone, it gives nginx:1.25"],
            differing: &["base"],
            ..two
        },
        &[],
    );
    let (shop, plain) = (overlay("shop"), overlay("plain"));
    let bare = |text: &str| text.replace("images: [{name: nginx, newTag: '1.29'}]\n", "");
    let two =
        case(&[&base[..], &[("a/kustomization.yaml", &bare(&shop)), ("b/kustomization.yaml", &bare(&plain))]].concat());
    check(
        Case {
            told: &[
                "warning: base/web.yaml:11: nginx:1.25 is not rewritten to cache.example.com/hub/library/nginx:1.25: ",
                "a/kustomization.yaml needs cache.example.com/hub/library/nginx:1.25",
                "b/kustomization.yaml needs nginx:1.25",
            ],
            differing: &["a", "base"],
            ..two
        },
        &[],
    );
    let blind = "resources: [../base, 'https://example.com/base?ref=v1']\nimages: [{name: nginx, newTag: '1.29'}]\n";
    let case = case(&[&base[..], &[("a/kustomization.yaml", blind)]].concat());
    check(Case { told: &["note: base/kustomization.yaml"], differing: &["base"], ..case }, &[]);
}

#[test]
fn without_editing_kustomizations_what_they_name_stays() {
    let overlay = "resources: [../base]\nimages: [{name: nginx, newTag: '1.29'}]\n";
    let text = [deployment("nginx:1.25"), deployment("quay.io/a/b:1").replace("name: web", "name: b")].join("---\n");
    let files = [("base/kustomization.yaml", BASE), ("base/web.yaml", &text), ("a/kustomization.yaml", overlay)];
    let site = Site::new(RULES).with(&files);
    let run = site.rewrite_paths(&["-w", "--no-kustomize"], &[""]);
    assert!(run.stderr.contains("not rewritten: 1 image that kustomizations name"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(site.path("a/kustomization.yaml")).expect("a file"), overlay);
    let built = site.build("a").expect("kustomize builds it");
    assert!(
        built.contains("image: nginx:1.29\n") && built.contains("image: cache.example.com/quay/a/b:1\n"),
        "{built}"
    );
}

/// The overlay is not in the tree.
#[test]
fn short_names_of_a_base_alone_stay() {
    let text = [deployment("controller:latest"), deployment("quay.io/a/b:1")].join("---\n");
    let files = [("base/kustomization.yaml", BASE), ("base/web.yaml", &text)];
    let site = Site::new(RULES).with(&files);
    let overlay = "resources: [../base]\nimages: [{name: controller, newTag: v1}]\n";
    let in_git =
        || Site::new(RULES).with(&[&files[..], &[("overlay/kustomization.yaml", overlay), (".git/HEAD", "")]].concat());
    let standard_input = |arguments: &[&str]| site.rewrite(arguments, &text);
    let seen_elsewhere = in_git();
    let runs = [
        standard_input(&[]),
        site.rewrite_paths(&["--diff"], &["base"]),
        site.rewrite_paths(&["--diff"], &["base/web.yaml"]),
        seen_elsewhere.rewrite_paths(&["--diff"], &["base"]),
    ];
    for run in runs {
        assert!(run.stderr.contains("not rewritten: 1 image without a host"), "{}", run.stderr);
        assert!(run.stderr.contains("controller:latest ("), "{}", run.stderr);
        assert!(
            run.stdout.contains("cache.example.com/quay/a/b:1") && !run.stdout.contains("hub/library"),
            "{}",
            run.stdout
        );
    }
    let named_by_none = Site::new(RULES).with(&[&files[..], &[(".git/HEAD", "")]].concat());
    for run in [
        standard_input(&["--rewrite-short-names"]),
        site.rewrite_paths(&["--diff", "--rewrite-short-names"], &["base"]),
        named_by_none.rewrite_paths(&["--diff"], &["base"]),
        site.rewrite_paths(&["--diff"], &[""]),
    ] {
        assert!(run.stdout.contains("cache.example.com/hub/library/controller:latest"), "{}", run.stderr);
    }
}

/// Flux adds the images. kustomize alone does not.
#[test]
fn flux_names_images_of_its_path() {
    let flux = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: web, namespace: flux-system}\n\
                spec:\n  path: ./deploy/base\n  images:\n  - name: controller\n    newName: quay.io/acme/operator\n";
    let site = Site::new(RULES).with(&[
        ("deploy/base/kustomization.yaml", BASE),
        ("deploy/base/web.yaml", &deployment("controller")),
        ("clusters/prod/web.yaml", flux),
        ("clusters/prod/other.yaml", &flux.replace("deploy/base", "elsewhere")),
    ]);
    let run = site.rewrite_paths(&["-w"], &[""]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let read = |name: &str| std::fs::read_to_string(site.path(name)).expect("a file");
    assert_eq!(read("deploy/base/web.yaml"), deployment("cache.example.com/hub/library/controller"));
    let renamed = flux.replace("quay.io/acme", "cache.example.com/quay/acme");
    assert_eq!(
        read("clusters/prod/web.yaml"),
        renamed.replace("name: controller", "name: cache.example.com/hub/library/controller")
    );
    assert_eq!(read("clusters/prod/other.yaml"), renamed.replace("deploy/base", "elsewhere"));
}

#[test]
fn an_anchor_that_is_shared_stays_with_what_names_it() {
    let web = deployment("&image nginx:1.25") + "        args: [*image]\n";
    let files = [
        ("base/kustomization.yaml", BASE),
        ("base/web.yaml", web.as_str()),
        ("a/kustomization.yaml", "resources: [../base]\nimages: [{name: nginx, newTag: '1.29'}]\n"),
    ];
    check(
        Case {
            told: &["warning: base/web.yaml:11: nginx:1.25 is not rewritten to"],
            differing: &["base"],
            ..case(&files)
        },
        &[],
    );
}

/// kustomize may be able to read a document that is unreadable here.
#[test]
fn the_images_beside_an_unreadable_document_change_in_step() {
    let overlay = "resources: [../base]\nimages: [{name: controller, newName: quay.io/acme/operator}]\n";
    for unreadable in ["a: [\n", "image: {{ .Values.image }}\n", "{{ if }}\n"] {
        let site = Site::new(RULES).with(&[
            ("base/kustomization.yaml", BASE),
            ("base/web.yaml", &[&deployment("controller:latest"), unreadable].join("---\n")),
            ("overlay/kustomization.yaml", overlay),
            (".git/HEAD", ""),
        ]);
        let run = site.rewrite_paths(&["-w"], &[""]);
        let read = |name: &str| std::fs::read_to_string(site.path(name)).expect("a file");
        assert_eq!(read("overlay/kustomization.yaml"), overlay.replace("quay.io", "cache.example.com/quay"));
        assert!(read("base/web.yaml").contains("image: controller:latest\n"), "{}", run.stderr);
        assert!(run.stderr.contains("note: base/kustomization.yaml: built alone, it gives controller:latest"));
    }
}

#[test]
fn patches_and_transformers_reach_what_they_reach_in_kustomize() {
    let web = deployment("controller:latest");
    let with_volume = web.clone() + "      volumes:\n      - {name: files, image: {reference: redis}}\n";
    let transformer = "apiVersion: builtin\nkind: ImageTagTransformer\nmetadata: {name: t}\n\
                       imageTag: {name: redis, newTag: v2}\n";
    let plain = [("plain/kustomization.yaml", "namespace: plain\nresources: [web.yaml]\n"), ("plain/web.yaml", &web)];
    let volume = [("base/kustomization.yaml", BASE), ("base/web.yaml", &with_volume)];
    let patch = |operation: &str| {
        format!(
            "patches:\n- target: {{kind: Deployment, name: w.b}}\n  patch: |-\n    - {{op: replace, path: {operation}}}\n"
        )
    };
    let image = patch("/spec/template/spec/containers/0/image, value: nginx");
    let of_volume = "resources: [../base]\n".to_owned()
        + &patch("/spec/template/spec/volumes/0/image/reference, value: nginx")
        + "images: [{name: nginx, newTag: '1.29'}]\n";
    let shared = "resources: [../base]\ntransformers: [../t.yaml]\n";
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec: {template: {spec: {containers: [{name: a, image: redis}]}}}\n";
    let of_plain = format!("resources: [../plain]\n{image}");
    let of_two = format!("resources: [../plain, job.yaml]\n{image}");
    let with = |tree: &[(&'static str, &str); 2], more: &[(&'static str, &str)]| case(&[&tree[..], more].concat());
    for case in [
        // In the namespace of the patched object.
        with(&plain, &[("top/kustomization.yaml", &of_plain)]),
        with(&plain, &[("top/kustomization.yaml", &of_two), ("top/job.yaml", job)]),
        with(&volume, &[("top/kustomization.yaml", &of_volume)]),
        with(
            &volume,
            &[("top/kustomization.yaml", shared), ("other/kustomization.yaml", shared), ("t.yaml", transformer)],
        ),
    ] {
        check(case, &[]);
    }
}

/// Other places in public repositories: variables, places in transformer configurations, files of generators.
#[test]
fn places_that_kustomize_does_not_know_by_itself_are_right() {
    let variable = |value: &str| {
        let web = deployment("quay.io/a/b:1");
        format!("{web}        env: [{{name: RELATED_IMAGE_DB, value: '{value}'}}]\n")
    };
    let base = |value: &str| vec![("base/kustomization.yaml", BASE.to_owned()), ("base/web.yaml", variable(value))];
    let configuration = "images: [{kind: Deployment, path: 'spec/template/spec/containers[]/env/value'}]\n";
    let configured = |more: &[(&'static str, &str)]| {
        let mut files = base("db");
        files[0].1 += "configurations: [c.yaml]\n";
        files.push(("base/c.yaml", configuration.to_owned()));
        files.extend(more.iter().map(|(name, text)| (*name, (*text).to_owned())));
        Case { files, differing: &[], told: &[] }
    };
    let entry = "images: [{name: db, newName: quay.io/db/db, newTag: '16'}]\n";
    let patch = "resources: [../base]\npatches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    \
                 spec: {template: {spec: {containers: [{name: web, env: [{name: RELATED_IMAGE_DB, value: 'quay.io/c/d:2'}]}]}}}\n";
    let mut patched = base("quay.io/a/c:1");
    patched.push(("top/kustomization.yaml", patch.to_owned()));
    check(Case { files: patched, differing: &[], told: &[] }, &[]);
    check(configured(&[("top/kustomization.yaml", &format!("resources: [../base]\n{entry}"))]), &[]);
    let component = format!("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{entry}");
    check(
        configured(&[
            ("component/kustomization.yaml", &component),
            ("top/kustomization.yaml", "resources: [../base]\ncomponents: [../component]\n"),
        ]),
        &[],
    );

    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: quay.io/a/b:1}]}\n";
    // The rules declare nothing for the kind, and an entry also changes its image.
    let foo = "---\napiVersion: e.com/v1\nkind: Foo\nmetadata: {name: a}\nspec: {foo: {image: 'quay.io/a/b:1'}}\n";
    let entry = "images: [{name: quay.io/a/b, newTag: '3'}]\n";
    let resources = "resources: [p.yaml]\nconfigurations: [c.yaml]\n";
    let component = format!("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{entry}");
    for (base, more) in [
        (resources.to_owned(), vec![("top/kustomization.yaml", format!("resources: [../base]\n{entry}"))]),
        (resources.to_owned() + entry, vec![]),
        (
            resources.to_owned(),
            vec![
                ("component/kustomization.yaml", component),
                ("top/kustomization.yaml", "resources: [../base]\ncomponents: [../component]\n".to_owned()),
            ],
        ),
    ] {
        let mut files = vec![
            ("base/kustomization.yaml", base),
            ("base/p.yaml", format!("{pod}{foo}")),
            ("base/c.yaml", "images: [{path: spec/foo/image, kind: Foo}]\n".to_owned()),
        ];
        files.extend(more);
        let told = &[
            "Foo of e.com: 1 field",
            "p.yaml:4: quay.io/a/b:1 is not rewritten to",
            "its builds need different images",
        ][..];
        let differing: &[&str] = if files.len() > 3 { &["base", "top"] } else { &["base"] };
        check(Case { files, differing, told }, &[]);
    }

    let generator = |more: &str| {
        vec![
            ("top/kustomization.yaml", format!("configMapGenerator: [{{name: c, files: [a.yaml=pod.yaml]}}]\n{more}")),
            ("top/pod.yaml", pod.to_owned()),
        ]
    };
    let told: &[&str] = &["quay.io/a/b:1 (", "use --deep"];
    check(Case { files: generator(""), differing: &[], told }, &[]);
    // With --deep, or if the text is also a resource, the generator reads a rewritten text. Its output differs.
    for (more, arguments) in [("", &["--deep"][..]), ("resources: [pod.yaml]\n", &[])] {
        let site = Site::new(RULES).with(&generator(more));
        std::fs::create_dir(site.path(".git")).expect("a folder");
        site.rewrite_paths(&[&["-w"], arguments].concat(), &[""]);
        let built = site.build("top").expect("kustomize builds it");
        assert!(built.contains("image: cache.example.com/quay/a/b:1") && !built.contains(" quay.io"), "{built}");
    }
}

#[test]
fn what_is_not_followed_is_noted() {
    let web = deployment("nginx:1");
    let vars = "resources: [web.yaml]\nvars:\n- name: A\n  objref: {apiVersion: apps/v1, kind: Deployment, name: web}\n  \
                fieldref: {fieldpath: 'spec.template.spec.containers[0].image'}\n";
    let names = vars.replace("'spec.template.spec.containers[0].image'", "metadata.name");
    let replacements = "resources: [web.yaml]\nreplacements:\n- source: {kind: Deployment, fieldPath: \
                        'spec.template.spec.containers.0.image'}\n  targets: []\n";
    let from_elsewhere = "resources: [web.yaml]\nreplacements:\n- source: {kind: ConfigMap, fieldPath: data.img}\n  targets:\n  - select: {kind: \
                          Deployment}\n    fieldPaths: ['spec.template.spec.containers.0.image']\n";
    let in_a_file = "resources: [web.yaml]\nreplacements: [{path: r.yaml}]\n";
    let names_alone = "resources: [web.yaml]\nreplacements:\n- source: {kind: Deployment, fieldPath: metadata.name}\n  targets:\n  - select: \
                       {kind: Deployment}\n    fieldPaths: [metadata.namespace]\n";
    let never = "resources: [web.yaml]\npatches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    \
                 spec: {template: {spec: {containers: [{name: web, imagePullPolicy: Never}]}}}\n";
    for (text, note) in [
        (vars, "`vars` copies an image; compare"),
        (replacements, "`replacements` copies an image; compare"),
        (from_elsewhere, "`replacements` copies an image; compare"),
        (in_a_file, "`replacements` copies an image; compare"),
        (names_alone, ""),
        (never, "a patch sets `imagePullPolicy`; compare"),
        (&names, ""),
    ] {
        let site = Site::new(RULES).with(&[("kustomization.yaml", text), ("web.yaml", web.as_str())]);
        std::fs::create_dir(site.path(".git")).expect("a folder");
        let run = site.rewrite_paths(&["-w"], &[""]);
        assert!(run.stderr.contains(note), "{text}\n{}", run.stderr);
        assert_eq!(run.stderr.contains("note: "), !note.is_empty(), "{text}\n{}", run.stderr);
    }
}
