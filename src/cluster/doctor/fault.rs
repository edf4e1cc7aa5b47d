//! Every kind of finding: its name, how bad it is, and the usual cure. `docs/doctor.md` has the same table.

use serde::{Serialize, Serializer};

use self::Severity::{Error, Note, Warning};

/// How much a finding matters. Errors and warnings are faults; a note is what somebody may want to know.
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
    ($($variant:ident, $id:literal, $severity:ident, $cure:literal;)*) => {
        /// A kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($variant,)*
        }

        impl Fault {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// How bad it usually is.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => $severity,)*
                }
            }

            /// What usually helps.
            pub const fn cure(self) -> &'static str {
                match self {
                    $(Self::$variant => $cure,)*
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
    ServerTooOld, "server-too-old", Error, "upgrade the cluster to Kubernetes 1.30 or later, 1.33 at best";
    ServerUntested, "server-untested", Note, "look into the CHANGELOG of pullthrough for a version that names this Kubernetes";
    ImageVolumesOff, "image-volumes-off", Note, "nothing to do; to use image volumes, upgrade to 1.35 or switch on the feature gate ImageVolume";

    // The registration.
    NotRegistered, "not-registered", Error, "apply the manifests again, or `pullthrough export webhook … | kubectl apply -f -`";
    WebhookMissing, "webhook-missing", Error, "apply the manifests again, or `pullthrough export webhook … | kubectl apply -f -`";
    RegisteredTwice, "registered-twice", Warning, "delete the configuration that is not needed";
    WrongPath, "wrong-path", Error, "set the path of clientConfig to /mutate";
    ReviewVersionUnsupported, "review-version-unsupported", Error, "set admissionReviewVersions to [v1]";
    PodCreationNotCovered, "pod-creation-not-covered", Error, "restore the webhook's `rules` as `pullthrough export webhook` prints them";
    PodUpdatesNotCovered, "pod-updates-not-covered", Warning, "restore the webhook's `rules` as `pullthrough export webhook` prints them";
    EphemeralContainersNotCovered, "ephemeral-containers-not-covered", Warning, "add a rule with resources [pods/ephemeralcontainers] and operations [UPDATE], as `pullthrough export webhook` prints it";
    MoreThanPodsCovered, "more-than-pods-covered", Warning, "restore the webhook's `rules` as `pullthrough export webhook` prints them";
    MatchPolicyExact, "match-policy-exact", Warning, "set matchPolicy to Equivalent";
    ReinvocationNever, "reinvocation-never", Warning, "set reinvocationPolicy to IfNeeded";
    SideEffectsDeclared, "side-effects-declared", Note, "set sideEffects to None";
    CalledBeforeOthers, "called-before-others", Note, "keep reinvocationPolicy IfNeeded, or name the configuration so that it sorts last";
    MirrorPodsNotExcluded, "mirror-pods-not-excluded", Warning, "restore the match condition not-mirror-pod as `pullthrough export webhook` prints it";
    DeletingPodsNotExcluded, "deleting-pods-not-excluded", Warning, "restore the match condition not-deleting as `pullthrough export webhook` prints it";
    StaleImageCondition, "stale-image-condition", Warning, "export and apply the configuration again with `pullthrough export webhook --skip-unaffected-pods`";
    ForeignMatchCondition, "foreign-match-condition", Note, "remove the condition unless it is meant";
    OwnNamespaceInReach, "own-namespace-in-reach", Warning, "exclude the namespace in the namespaceSelector, as `pullthrough export webhook` does";
    KubeSystemFailClosed, "kube-system-fail-closed", Error, "exclude kube-system in the namespaceSelector (the overlay fail-closed does), or set failurePolicy to Ignore";
    TimeoutTooLong, "timeout-too-long", Warning, "set timeoutSeconds to 3";
    OptOutNotInForce, "opt-out-not-in-force", Warning, "export the configuration again from these rules, and apply it";
    OptOutNotAllowed, "opt-out-not-allowed", Warning, "write `allowOptOut: true` into the rules, or export the configuration again and apply it";
    NamespacesMustOptIn, "namespaces-must-opt-in", Warning, "remove the requirement from the namespaceSelector, unless namespaces are meant to opt in";
    ForeignNamespaceSelector, "foreign-namespace-selector", Note, "nothing to do if it is meant; tools such as AKS's admissions enforcer add such requirements";
    ForeignObjectSelector, "foreign-object-selector", Warning, "remove the requirement from the objectSelector, unless it is meant";

    // The Service.
    ServiceMissing, "service-missing", Error, "apply the manifests again";
    ServicePortMissing, "service-port-missing", Error, "make the Service's port and the port of clientConfig.service the same";
    ServiceTargetWrong, "service-target-wrong", Error, "set the Service's targetPort to `https`, the name of the container's port";
    ServiceSelectsNothing, "service-selects-nothing", Error, "make the Service's selector the labels of the Pods";
    NoReadyEndpoints, "no-ready-endpoints", Error, "see the check `replicas` for why no Pod is ready";

    // The Deployment and its Pods.
    DeploymentMissing, "deployment-missing", Error, "apply the manifests again";
    NoReplicas, "no-replicas", Error, "scale the Deployment up: `kubectl scale deployment … --replicas 2`";
    ReplicasUnavailable, "replicas-unavailable", Warning, "see the other findings of this check, and `kubectl describe` of Deployment and Pods";
    SingleReplica, "single-replica", Note, "run two replicas, so that a node can be drained without a gap";
    ImagePullFailing, "image-pull-failing", Error, "make the image pullable; it must not come from the cache that pullthrough points to";
    ContainerFailing, "container-failing", Error, "read `kubectl logs --previous` and `kubectl describe` of the Pod";
    PodUnschedulable, "pod-unschedulable", Warning, "make room for the Pod, or change what it asks of nodes";
    PodNotReady, "pod-not-ready", Warning, "mend what /readyz names; `kubectl logs` of the Pod says more";
    Restarting, "restarting", Warning, "read `kubectl logs --previous` of the Pod";

    // Certificates.
    CaBundleEmpty, "ca-bundle-empty", Error, "publish the CA as caBundle; with --manage-certificates or cert-manager, look why that does not happen";
    CaBundleInvalid, "ca-bundle-invalid", Error, "publish the CA's certificate in PEM as caBundle";
    WrongCa, "wrong-ca", Error, "publish the CA that signed the serving certificate, or serve a certificate of the published CA";
    CaExpired, "ca-expired", Error, "make a new CA and serving certificate, and publish the CA as caBundle";
    CaNotYetValid, "ca-not-yet-valid", Error, "set the clocks right, or make a new CA and serving certificate, and publish the CA as caBundle";
    CertificateExpired, "certificate-expired", Error, "renew the serving certificate; a mounted Secret is read again by itself";
    CertificateNotYetValid, "certificate-not-yet-valid", Error, "set the clocks right, or make the certificate again";
    CertificateWrongName, "certificate-wrong-name", Error, "make a certificate for the name that the API server asks for";
    CertificateUnusable, "certificate-unusable", Error, "make a new serving certificate for TLS servers";
    CertificateEnding, "certificate-ending", Warning, "renew the serving certificate, and look why that did not happen by itself";
    CaEnding, "ca-ending", Warning, "make a new CA, publish both, and then serve a certificate of the new one";
    ExpiredCaInBundle, "expired-ca-in-bundle", Note, "remove it from caBundle when convenient";
    HandshakeFailing, "handshake-failing", Error, "read `kubectl logs` of the Pod, and look whether a NetworkPolicy or a proxy stands between";
    EndpointUnreachable, "endpoint-unreachable", Warning, "see whether the server runs and listens at this address; the API server may reach what this machine can't";

    // Rules.
    RulesMissing, "rules-missing", Error, "create the ConfigMap with the rules file, and mount it";
    RulesInvalid, "rules-invalid", Error, "mend the rules; `pullthrough check` shows the same before they are applied";
    RulesNoted, "rules-noted", Note, "look whether it is meant";
    NothingEnforced, "nothing-enforced", Note, "take `mode: observe` out of a rule when you believe it";
    ReplicasDisagree, "replicas-disagree", Warning, "wait a minute for the kubelets; then look at the logs of the Pods, and restart the Deployment";
    RulesNotInForce, "rules-not-in-force", Warning, "wait a minute for the kubelet; then look at the logs of the Pods, and restart the Deployment";
    ReloadFailing, "reload-failing", Warning, "read `kubectl logs` of the Pod for what is wrong with the new file";
    CertificateRoundFailing, "certificate-round-failing", Warning, "read `kubectl logs` of the Pod, and see the check `permissions`";
    VersionsDiffer, "versions-differ", Warning, "finish the roll-out: `kubectl rollout status deployment …`";
    RulesBySubPath, "rules-by-sub-path", Warning, "mount the folder without subPath; such a mount is never updated";

    // The dry run.
    PodRefused, "pod-refused", Warning, "see who refuses, and make it let such a Pod in, or look in another namespace with --probe-namespace";
    WebhookCallFailing, "webhook-call-failing", Error, "see the checks `service` and `certificates`";
    NotRewritten, "not-rewritten", Error, "mend the other findings first; then look at the API server's log for failed calls of the webhook";
    RewriteUndone, "rewrite-undone", Error, "have the webhook or policy that is named leave images alone, or be called earlier";
    RewrittenDifferently, "rewritten-differently", Error, "see the check `rules` for whether the replicas have these rules, and which webhook else changes images";

    // Reach.
    NothingInReach, "nothing-in-reach", Error, "restore the namespaceSelector as `pullthrough export webhook` prints it";
    NamespacesOutOfReach, "namespaces-out-of-reach", Note, "change the namespaces' labels or the namespaceSelector, unless it is meant";
    RuleWithoutNamespace, "rule-without-namespace", Warning, "correct the rule's `namespaces`, or remove the rule";
    MirrorPods, "mirror-pods", Note, "name the cache in the static Pods' own files, or use the node's registry mirrors for them";
    OptedOutPods, "opted-out-pods", Note, "remove the label `pullthrough.dev/rewrite: disabled`, unless it is meant";
    PodsFromBefore, "pods-from-before", Note, "restart their controllers: `kubectl rollout restart …`";
    PodsEscaped, "pods-escaped", Warning, "restart their controllers, and look why the webhook was not there when they came";

    // Managed certificates.
    ManagedSecretMissing, "managed-secret-missing", Error, "see the Pods' log, and the check's other findings, for why it is not made again within seconds";
    ManagedSecretInvalid, "managed-secret-invalid", Error, "delete the Secret; it is made again within seconds";
    ManagedCaDiffers, "managed-ca-differs", Error, "see the Pods' log for why caBundle is not published; check who else writes the configuration";
    PermissionMissing, "permission-missing", Error, "apply the roles and bindings of the manifests again";
    TokenNotMounted, "token-not-mounted", Error, "set automountServiceAccountToken: true on the Pods";
}
