//! The known operators. An operator is listed if its source was read, and its comparison was found there.

use super::{Creator, Operator, Setting, SourceFile};

const fn of(container: &'static str, place: &'static str) -> Setting {
    Setting { container: Some(container), place }
}

const fn others(place: &'static str) -> Setting {
    Setting { container: None, place }
}

pub(super) const OPERATORS: &[Operator] = &[
    Operator {
        name: "aerospike",
        title: "Aerospike Kubernetes Operator",
        versions: None,
        owner_group: "apps",
        owner_kinds: &["StatefulSet"],
        label: "app",
        label_value: Some("aerospike-cluster"),
        creator: Creator::StatefulSetController,
        resources: &[("asdb.aerospike.com", "AerospikeCluster")],
        effect: "deletes the Pod to upgrade it, without end (registry, name and tag differ)",
        settings: &[
            of("aerospike-server", "`spec.image` of AerospikeCluster"),
            of("aerospike-init", "`spec.podSpec.aerospikeInitContainer.imageRegistry` of AerospikeCluster"),
            others("`spec.podSpec.sidecars` and `spec.podSpec.initContainers` of AerospikeCluster"),
        ],
        sources: &[
            SourceFile {
                repository: "aerospike/aerospike-kubernetes-operator",
                version: "v4.5.0",
                path: "internal/controller/cluster/statefulset.go (allContainersAreOnDesiredImages)",
            },
            SourceFile {
                repository: "aerospike/aerospike-kubernetes-operator",
                version: "v4.5.0",
                path: "pkg/utils/utils.go (IsImageEqual)",
            },
        ],
    },
    Operator {
        name: "cloudnative-pg",
        title: "CloudNativePG",
        versions: None,
        owner_group: "postgresql.cnpg.io",
        owner_kinds: &["Cluster"],
        label: "cnpg.io/cluster",
        label_value: None,
        creator: Creator::Operator { namespaces: &["cnpg-system"] },
        resources: &[
            ("postgresql.cnpg.io", "Cluster"),
            ("postgresql.cnpg.io", "ImageCatalog"),
            ("postgresql.cnpg.io", "ClusterImageCatalog"),
        ],
        effect: "recreates the Pod, without end",
        settings: &[
            of("postgres", "`spec.imageName` of Cluster (or its ImageCatalog)"),
            of("bootstrap-controller", "the variable OPERATOR_IMAGE_NAME of the operator"),
            others("`spec.postgresql.extensions` of Cluster"),
        ],
        sources: &[SourceFile {
            repository: "cloudnative-pg/cloudnative-pg",
            version: "v1.30.0",
            path: "internal/controller/cluster_upgrade.go (checkPodImageIsOutdated, checkPodBootstrapImage)",
        }],
    },
    Operator {
        name: "koperator",
        title: "Koperator (Kafka)",
        versions: Some("up to 0.25.1 of banzaicloud; forks have later versions"),
        owner_group: "kafka.banzaicloud.io",
        owner_kinds: &["KafkaCluster"],
        label: "kafka_cr",
        label_value: None,
        creator: Creator::Operator { namespaces: &["kafka"] },
        resources: &[("kafka.banzaicloud.io", "KafkaCluster")],
        effect: "recreates the Pod, without end",
        settings: &[
            of("kafka", "`spec.clusterImage` of KafkaCluster, or `image` of a broker's configuration"),
            others("`spec.clusterMetricsReporterImage` and `spec.monitoringConfig.jmxImage` of KafkaCluster"),
        ],
        sources: &[SourceFile {
            repository: "banzaicloud/koperator",
            version: "v0.25.1",
            path: "pkg/resources/kafka/kafka.go (handleRollingUpgrade)",
        }],
    },
    Operator {
        name: "kubeblocks",
        title: "KubeBlocks",
        versions: Some("before 1.2"),
        owner_group: "workloads.kubeblocks.io",
        owner_kinds: &["InstanceSet"],
        label: "app.kubernetes.io/managed-by",
        label_value: Some("kubeblocks"),
        creator: Creator::Operator { namespaces: &["kb-system"] },
        resources: &[("apps.kubeblocks.io", "ComponentVersion")],
        effect: "updates the Pod, without end; recreates it while it is pending, and with `podUpgradePolicy: ReCreate`",
        settings: &[others("`spec.releases[*].images` of ComponentVersion")],
        sources: &[SourceFile {
            repository: "apecloud/kubeblocks",
            version: "v1.0.2",
            path: "pkg/controller/instanceset/in_place_update_util.go (equalField)",
        }],
    },
    Operator {
        name: "kubevirt",
        title: "KubeVirt",
        versions: None,
        owner_group: "kubevirt.io",
        owner_kinds: &["VirtualMachineInstance"],
        label: "kubevirt.io",
        label_value: Some("virt-launcher"),
        creator: Creator::Operator { namespaces: &["kubevirt"] },
        resources: &[
            ("kubevirt.io", "VirtualMachine"),
            ("kubevirt.io", "VirtualMachineInstance"),
            ("kubevirt.io", "VirtualMachineInstanceReplicaSet"),
            ("pool.kubevirt.io", "VirtualMachinePool"),
        ],
        effect: "marks the virtual machine as outdated; with `workloadUpdateMethods`, migrates or evicts it, without end",
        settings: &[others(
            "`spec.imageRegistry` of KubeVirt, or the variable VIRT_LAUNCHER_IMAGE of virt-operator; container disks in the virtual machine",
        )],
        sources: &[
            SourceFile {
                repository: "kubevirt/kubevirt",
                version: "v1.9.0-rc.2",
                path: "pkg/virt-controller/watch/vmi/lifecycle.go (setLauncherContainerInfo)",
            },
            SourceFile {
                repository: "kubevirt/kubevirt",
                version: "v1.9.0-rc.2",
                path: "pkg/virt-controller/watch/workload-updater/workload-updater.go (isOutdated)",
            },
        ],
    },
    Operator {
        name: "nifikop",
        title: "NiFiKop",
        versions: None,
        owner_group: "nifi.konpyutaika.com",
        owner_kinds: &["NifiCluster"],
        label: "nifi_cr",
        label_value: None,
        creator: Creator::Operator { namespaces: &["nifikop-system"] },
        resources: &[("nifi.konpyutaika.com", "NifiCluster")],
        effect: "recreates the Pod, without end",
        settings: &[
            of("nifi", "`spec.clusterImage` of NifiCluster, or `image` of a node's configuration"),
            others("`spec.initContainerImage` and `spec.initContainers` of NifiCluster"),
        ],
        sources: &[SourceFile {
            repository: "konpyutaika/nifikop",
            version: "v1.17.0-release",
            path: "pkg/resources/nifi/nifi.go (reconcileNifiPod)",
        }],
    },
    Operator {
        name: "olm",
        title: "Operator Lifecycle Manager, catalogs",
        versions: None,
        owner_group: "operators.coreos.com",
        owner_kinds: &["CatalogSource"],
        label: "olm.catalogSource",
        label_value: None,
        creator: Creator::Operator {
            namespaces: &["olm", "operator-lifecycle-manager", "openshift-operator-lifecycle-manager"],
        },
        resources: &[("operators.coreos.com", "CatalogSource")],
        effect: "recreates the Pod, without end",
        settings: &[
            of(
                "registry-server",
                "`spec.image` of CatalogSource; with `extractContent`, the argument --opmImage of catalog-operator",
            ),
            of("extract-utilities", "the argument --util-image of catalog-operator"),
            others("`spec.image` of CatalogSource"),
        ],
        sources: &[SourceFile {
            repository: "operator-framework/operator-lifecycle-manager",
            version: "v0.46.0",
            path: "pkg/controller/registry/reconciler/grpc.go (correctImages)",
        }],
    },
    Operator {
        name: "vitess",
        title: "Vitess Operator",
        versions: None,
        owner_group: "planetscale.com",
        owner_kinds: &["VitessShard", "EtcdLockserver"],
        label: "planetscale.com/cluster",
        label_value: None,
        creator: Creator::Operator { namespaces: &[] },
        resources: &[("planetscale.com", "VitessCluster")],
        effect: "plans to replace the Pod, for ever; with `updateStrategy: {type: Immediate}`, recreates it without end",
        settings: &[
            of("etcd", "`spec.globalLockserver.etcd.image` of VitessCluster, or `lockserver.etcd.image` of its cell"),
            others("`spec.images` of VitessCluster"),
        ],
        sources: &[
            SourceFile {
                repository: "planetscale/vitess-operator",
                version: "v2.17.0",
                path: "pkg/operator/vttablet/pod.go (UpdatePod)",
            },
            SourceFile {
                repository: "planetscale/vitess-operator",
                version: "v2.17.0",
                path: "pkg/operator/update/podspec.go (PodContainer)",
            },
            SourceFile {
                repository: "planetscale/vitess-operator",
                version: "v2.17.0",
                path: "pkg/operator/reconciler/object.go",
            },
        ],
    },
    Operator {
        name: "zalando-postgres-operator",
        title: "Zalando's Postgres Operator",
        versions: None,
        owner_group: "apps",
        owner_kinds: &["StatefulSet"],
        label: "application",
        label_value: Some("spilo"),
        creator: Creator::StatefulSetController,
        resources: &[("acid.zalan.do", "postgresql"), ("acid.zalan.do", "OperatorConfiguration")],
        effect: "recreates the Pod at each sync, unless `enable_lazy_spilo_upgrade` is set",
        settings: &[
            of("postgres", "`spec.dockerImage` of postgresql, or `docker_image` of the operator's configuration"),
            others("`spec.sidecars` and `spec.initContainers` of postgresql"),
        ],
        sources: &[SourceFile {
            repository: "zalando/postgres-operator",
            version: "v2.0.1",
            path: "pkg/cluster/sync.go (syncStatefulSet)",
        }],
    },
];
