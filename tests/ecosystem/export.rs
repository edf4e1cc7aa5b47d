//! `pullthrough export`, with the programs that read what it prints.

mod crio;
mod docker;
mod helm_values;
mod kustomize;
mod kyverno;
mod openshift;
mod renovate;
