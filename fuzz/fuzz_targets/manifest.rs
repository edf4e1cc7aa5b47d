//! For any text that parses: without changes it is written unchanged, and a changed text parses to the new images.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pullthrough::config;
use pullthrough::manifest::{Catalogue, Field, Known, Manifest};

const RULES: &str = "
apiVersion: pullthrough.dev/v1alpha1
kind: Rules
rules: []
manifests:
  - {group: '', kind: Pod, args: [--image], env: ['*_IMAGE']}
  - {files: [kustomization.yaml], images: ['$..image'], splitImages: ['$..image'], helmValues: [$]}
  - {group: example.com, kind: Box, objects: ['$.spec.boxes[*]'], qualifiedImages: ['$.spec[?@.name == ''image''].value']}
";
static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let declared = config::parse("rules.yaml", RULES).expect("valid rules").manifests;
    Known { declared, catalogue: Catalogue::built_in().expect("a valid catalogue"), ..Known::default() }
});

fuzz_target!(|text: &str| {
    let read = |text| Manifest::read("kustomization.yaml", text, &KNOWN);
    let Ok(manifest) = read(text) else { return };
    assert_eq!(manifest.write(|_| None).text, text);
    // Another host, with the same tag and digest.
    let image = |field: &Field| {
        let (_, rest) = field.image.split_once('/').filter(|(host, _)| host.contains('.'))?;
        Some(format!("cache.example.com/x/{rest}"))
    };
    let written = manifest.write(image);
    let again = read(&written.text).expect("the written text parses");
    assert_eq!(again.fields().len(), manifest.fields().len());
    for (position, (before, after)) in manifest.fields().iter().zip(again.fields()).enumerate() {
        let asked = image(before).filter(|_| written.changed.contains(&position));
        assert_eq!(after.image, asked.unwrap_or_else(|| before.image.clone()));
    }
});
