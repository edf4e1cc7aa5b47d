//! Every kind of finding, with its name, severity and fix. `docs/reference/doctor.md` has the same table.

use serde::{Serialize, Serializer};

use self::Severity::{Error, Note, Warning};
use crate::words::ONE_NAMESPACE;

/// The severity of a finding. Errors and warnings are faults; a note is for information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Note,
    Warning,
    Error,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! faults {
    ($($variant:ident, $id:literal, $severity:ident, $fix:expr;)*) => {
        /// A kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($variant,)*
        }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name, which is stable.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// Returns the default severity. A check can set another one.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => $severity,)*
                }
            }

            /// Returns the default fix. A check can set another one.
            pub const fn fix(self) -> &'static str {
                match self {
                    $(Self::$variant => $fix,)*
                }
            }
        }
    };
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

faults! {
    // The API server's version.
    KubernetesNotSupported, "kubernetes-not-supported", Error, "upgrade the cluster to Kubernetes 1.30 or later, preferably 1.33 or later";
    KubernetesNotTested, "kubernetes-not-tested", Note, "check the changelog for a release of pullthrough that is tested with this version";
    ImageVolumesDisabled, "image-volumes-disabled", Note, "none needed; to use image volumes, upgrade to 1.35 or enable the feature gate ImageVolume";

    // The webhook configuration.
    WebhookConfigurationMissing, "webhook-configuration-missing", Error, "apply the manifests again, or `pullthrough export webhook … | kubectl apply -f -`";
    WebhookMissing, "webhook-missing", Error, "apply the manifests again, or `pullthrough export webhook … | kubectl apply -f -`";
    DuplicateWebhookConfiguration, "duplicate-webhook-configuration", Warning, "delete the configuration that is not needed";
    WrongPath, "wrong-path", Error, "set the path of clientConfig to /mutate";
    ReviewVersionNotSupported, "review-version-not-supported", Error, "set admissionReviewVersions to [v1]";
    PodCreationNotCovered, "pod-creation-not-covered", Error, "restore the webhook's `rules` as `pullthrough export webhook` prints them";
    PodUpdatesNotCovered, "pod-updates-not-covered", Warning, "restore the webhook's `rules` as `pullthrough export webhook` prints them";
    EphemeralContainersNotCovered, "ephemeral-containers-not-covered", Warning, "add a rule with resources [pods/ephemeralcontainers] and operations [UPDATE], as `pullthrough export webhook` prints it";
    MoreThanPodsCovered, "more-than-pods-covered", Warning, "restore the webhook's `rules` as `pullthrough export webhook` prints them";
    MatchPolicyExact, "match-policy-exact", Warning, "set matchPolicy to Equivalent";
    ReinvocationNever, "reinvocation-never", Warning, "set reinvocationPolicy to IfNeeded";
    SideEffectsDeclared, "side-effects-declared", Note, "set sideEffects to None";
    SideEffectsNotDeclared, "side-effects-not-declared", Warning, "set sideEffects to NoneOnDryRun, as `pullthrough export webhook` prints it for rules with checkExists";
    CalledBeforeOthers, "called-before-others", Note, "keep reinvocationPolicy: IfNeeded, or give the configuration a name that sorts last";
    MirrorPodsNotExcluded, "mirror-pods-not-excluded", Warning, "restore the match condition `not-mirror-pod` as `pullthrough export webhook` prints it";
    DeletingPodsNotExcluded, "deleting-pods-not-excluded", Warning, "restore the match condition `not-deleting` as `pullthrough export webhook` prints it";
    TemplatesFailClosed, "templates-fail-closed", Error, "set failurePolicy of the webhook warn.pullthrough.dev to Ignore";
    TemplatesClientDiffers, "templates-client-differs", Warning, "apply the manifests again, or `pullthrough export webhook --warn-templates … | kubectl apply -f -`";
    TemplatesOfControllers, "templates-of-controllers", Warning, "restore the match conditions as `pullthrough export webhook --warn-templates` prints them";
    TemplateWarningsOff, "template-warnings-off", Warning, "remove --no-warnings from the arguments of the Pods, or the webhook warn.pullthrough.dev";
    StaleImageCondition, "stale-image-condition", Warning, "export the configuration again with `pullthrough export webhook --skip-unaffected-pods`, and apply it";
    UnexpectedMatchCondition, "unexpected-match-condition", Note, "remove the condition, unless it is intended";
    OwnNamespaceCovered, "own-namespace-covered", Warning, "exclude the namespace in the namespaceSelector, as `pullthrough export webhook` does";
    KubeSystemFailClosed, "kube-system-fail-closed", Error, "exclude kube-system in the namespaceSelector (the overlay fail-closed does), or set failurePolicy to Ignore";
    TimeoutTooLong, "timeout-too-long", Warning, "set timeoutSeconds to 3";
    OptOutNotExcluded, "opt-out-not-excluded", Warning, "export the webhook configuration again from these rules, and apply it";
    OptOutNotAllowed, "opt-out-not-allowed", Warning, "set `allowOptOut: true` in the rules, or export the webhook configuration again and apply it";
    NamespacesMustOptIn, "namespaces-must-opt-in", Warning, "remove the requirement from the namespaceSelector, unless opt-in is intended";
    UnexpectedNamespaceSelector, "unexpected-namespace-selector", Note, "none needed if it is intended; AKS's admissions enforcer adds such requirements";
    UnexpectedObjectSelector, "unexpected-object-selector", Warning, "remove the requirement from the objectSelector, unless it is intended";

    // The Service.
    ServiceMissing, "service-missing", Error, "apply the manifests again";
    ServicePortMissing, "service-port-missing", Error, "set the Service's port and the port of clientConfig.service to the same number";
    ServiceTargetWrong, "service-target-wrong", Error, "set the Service's targetPort to `https`, the name of the container's port";
    ServiceSelectsNoPods, "service-selects-no-pods", Error, "set the Service's selector to the labels of the Pods";
    NoReadyEndpoints, "no-ready-endpoints", Error, "fix the findings of the check `replicas`";

    // The Deployment and its Pods.
    DeploymentMissing, "deployment-missing", Error, "apply the manifests again";
    NoReplicas, "no-replicas", Error, "scale the Deployment up: `kubectl scale deployment … --replicas 2`";
    ReplicasUnavailable, "replicas-unavailable", Warning, "fix the other findings of this check; run `kubectl describe` for the Deployment and its Pods";
    SingleReplica, "single-replica", Note, "run two replicas, so that one is available while a node is drained";
    ImagePullFailing, "image-pull-failing", Error, "set an image that nodes can pull; it must not come from the cache of the rules";
    ContainerFailing, "container-failing", Error, "run `kubectl logs --previous` and `kubectl describe` for the Pod";
    PodUnschedulable, "pod-unschedulable", Warning, "add capacity, or change the Pod's requests, affinity and tolerations";
    PodNotReady, "pod-not-ready", Warning, "fix what /readyz reports; see `kubectl logs` of the Pod";
    PodRestarting, "pod-restarting", Warning, "run `kubectl logs --previous` for the Pod";

    // Certificates.
    CaBundleEmpty, "ca-bundle-empty", Error, "set caBundle to the CA; with --manage-certificates or cert-manager, check their logs";
    CaBundleInvalid, "ca-bundle-invalid", Error, "set caBundle to the CA's certificate in PEM";
    WrongCa, "wrong-ca", Error, "set caBundle to the CA that signed the serving certificate, or serve a certificate of the CA in caBundle";
    CaExpired, "ca-expired", Error, "issue a new CA and serving certificate, and set caBundle to the CA";
    CaNotYetValid, "ca-not-yet-valid", Error, "synchronise the clocks, or issue a new CA and serving certificate and set caBundle to the CA";
    CertificateExpired, "certificate-expired", Error, "renew the serving certificate; a mounted Secret is reloaded without a restart";
    CertificateNotYetValid, "certificate-not-yet-valid", Error, "synchronise the clocks, or issue the certificate again";
    CertificateWrongName, "certificate-wrong-name", Error, "issue a certificate for the name that the API server expects";
    CertificateUnusable, "certificate-unusable", Error, "issue a new serving certificate for TLS servers";
    CertificateExpiring, "certificate-expiring", Warning, "renew the serving certificate, and check why the automatic renewal failed";
    CaExpiring, "ca-expiring", Warning, "issue a new CA, set caBundle to both, and then serve a certificate of the new CA";
    ExpiredCaInBundle, "expired-ca-in-bundle", Note, "remove it from caBundle";
    HandshakeFailing, "handshake-failing", Error, "check `kubectl logs` of the Pod, NetworkPolicies and proxies";
    EndpointUnreachable, "endpoint-unreachable", Warning, "check that the server runs and listens at this address; the API server may reach addresses that this machine can't";

    // Rules.
    RulesMissing, "rules-missing", Error, "create the ConfigMap with the rules file";
    RulesInvalid, "rules-invalid", Error, "fix the rules; `pullthrough check` reports the same before you apply them";
    RulesLikelyMistake, "rules-likely-mistake", Note, "fix the rules, or allow the lint if it is intended";
    NoRuleEnforced, "no-rule-enforced", Note, ONE_NAMESPACE;
    RulesDiffer, "rules-differ", Warning, "wait a minute for the kubelets; then check the logs of the Pods, and restart the Deployment";
    RulesNotLoaded, "rules-not-loaded", Warning, "wait a minute for the kubelet; then check the logs of the Pods, and restart the Deployment";
    RulesReloadFailing, "rules-reload-failing", Warning, "fix the rules file; `kubectl logs` of the Pod names its error";
    CertificateReloadFailing, "certificate-reload-failing", Warning, "fix the error in `kubectl logs` of the Pod; see the check `permissions`";
    VersionsDiffer, "versions-differ", Warning, "finish the rollout: `kubectl rollout status deployment …`";
    RulesBySubPath, "rules-by-sub-path", Warning, "mount the folder without subPath";

    // Caches.
    CacheDown, "cache-down", Warning, "run `pullthrough verify`, which names the cause; if nodes can pull from it, let the Pods of pullthrough reach it";
    CacheViewsDiffer, "cache-views-differ", Warning, "wait a minute; then compare the network of the replicas' nodes, and their logs";

    // The dry run.
    PodDenied, "pod-denied", Warning, "allow the Pod in the policy that the message names, or set --probe-namespace to another namespace";
    WebhookCallFailing, "webhook-call-failing", Error, "fix the findings of the checks `service` and `certificates`";
    NotRewritten, "not-rewritten", Error, "if there are other findings, fix them first; then check the API server's log for failed calls of the webhook";
    RewriteReverted, "rewrite-reverted", Error, "stop the named webhook or policy from changing images, or have it called earlier";
    RewrittenDifferently, "rewritten-differently", Error, "check that the replicas have loaded these rules (check `rules`), and that no other webhook changes images";

    // Coverage.
    NoNamespaceCovered, "no-namespace-covered", Error, "restore the namespaceSelector as `pullthrough export webhook` prints it";
    NamespacesNotCovered, "namespaces-not-covered", Note, "change the namespaces' labels or the namespaceSelector, unless it is intended";
    RuleWithoutNamespace, "rule-without-namespace", Warning, "fix the rule's `namespaces`, or remove the rule";
    MirrorPods, "mirror-pods", Note, "name the cache in the static Pods' files, or use registry mirrors on the node";
    OptedOutPods, "opted-out-pods", Note, "remove the label `pullthrough.dev/rewrite: disabled`, unless it is intended";
    ExistingPodsNotRewritten, "existing-pods-not-rewritten", Note, "restart their controllers with `kubectl rollout restart …`; delete and create Pods that have no controller";
    NewPodsNotRewritten, "new-pods-not-rewritten", Warning, "check why the webhook was unavailable when they were created; then recreate them as for `existing-pods-not-rewritten`";

    // Operators that compare images.
    RecreateLoop, "recreate-loop", Warning, "find the workload in the Pod's log (`again and again`), and write the rewritten image names into its fields; or set `operators: {onRecreateLoop: standDown}` in the rules";
    StandingDown, "standing-down", Warning, "find the workload in the Pod's log (`again and again`), write the rewritten image names into its fields, and restart the Deployment";
    OperatorComparesImages, "operator-compares-images", Warning, "write the rewritten image names into the custom resources, or add the operator to `operators.skip` in the rules";
    OperatorMayCompareImages, "operator-may-compare-images", Note, "recreate one of the Pods and see whether it stays; set `operators: {onRecreateLoop: standDown}` in the rules";

    // Managed certificates.
    ManagedSecretMissing, "managed-secret-missing", Error, "check the Pods' log and the other findings of this check; replicas create the Secret within seconds";
    ManagedSecretInvalid, "managed-secret-invalid", Error, "delete the Secret; replicas create it again within seconds";
    ManagedCaDiffers, "managed-ca-differs", Error, "check the Pods' log, and whether another controller writes the webhook configuration";
    PermissionMissing, "permission-missing", Error, "apply the roles and bindings of the manifests again";
    TokenNotMounted, "token-not-mounted", Error, "set `automountServiceAccountToken: true` on the Pods";

    // One image, with --image.
    ImageInvalid, "image-invalid", Error, "correct the image where it is written";
    ImageNotRewritten, "image-not-rewritten", Note, "none needed if it is intended; `pullthrough explain` shows which rules were tried";
    NamespaceNotCovered, "namespace-not-covered", Warning, "change the labels of the namespace or the namespaceSelector, unless it is intended";
    PullSecretUnusable, "pull-secret-unusable", Warning, "create the Secret in the namespace of the Pod, with the type kubernetes.io/dockerconfigjson";
    ImageDiffers, "image-differs", Warning, "compare both digests before the image is used";
    MirrorConfigurationInvalid, "mirror-configuration-invalid", Error, "fix the file on the nodes; containerd reads it at each pull";
    FirstPullTooSlow, "first-pull-too-slow", Note, "pull the image once before its Pods start, and again after the cache dropped it";
    PodNotRewritten, "pod-not-rewritten", Warning, "run `pullthrough doctor` without --image for the webhook, then recreate the Pods";
    ImageNotServed, "image-not-served", Error, "fix the cause that the finding names";
    PodPullFailing, "pod-pull-failing", Error, "fix the cause that the finding names; read the log of the container runtime on the node";
}
