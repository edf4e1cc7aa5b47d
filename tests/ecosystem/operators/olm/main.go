// Runs the code of Operator Lifecycle Manager (OLM) for catalogs: it creates their Pods, compares the images, and recreates them.
//
//	olm KUBECONFIG NAMESPACE IMAGE OPM_IMAGE UTIL_IMAGE
//
// IMAGE is `spec.image` of two CatalogSources: `plain`, and `extracted`, which has `extractContent`. The other two images are those of
// the arguments --opmImage and --util-image of catalog-operator.
//
// For each number on standard input, it reconciles both that many times, and prints how many Pods that created, by catalog.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strconv"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/operator-lifecycle-manager/pkg/controller/registry/reconciler"
	"github.com/operator-framework/operator-lifecycle-manager/pkg/lib/operatorclient"
	"github.com/operator-framework/operator-lifecycle-manager/pkg/lib/operatorlister"
	"github.com/sirupsen/logrus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// The user of catalog Pods in namespaces with the Pod Security level `restricted`: the default of catalog-operator.
const workloadUserID = 1001

var log = logrus.NewEntry(logrus.StandardLogger())

func main() {
	namespace, image, opmImage, utilImage := os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	// Each recreation is logged as an error otherwise.
	logrus.SetLevel(logrus.FatalLevel)
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	check(err)
	config.QPS = -1 // no limit
	client, err := operatorclient.NewClientFromRestConfig(config)
	check(err)
	known := newView(client.KubernetesInterface(), namespace)
	// The applier is for catalogs that are polled.
	factory := reconciler.NewRegistryReconcilerFactory(
		known.lister(), client, "", metav1.Now, nil, workloadUserID, opmImage, utilImage)

	plain, extracted := catalog(namespace, "plain", image), catalog(namespace, "extracted", image)
	extracted.Spec.GrpcPodConfig = &v1alpha1.GrpcPodConfig{
		ExtractContent: &v1alpha1.ExtractContentConfig{CatalogDir: "/configs"},
	}
	known.refresh()
	output := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		times, err := strconv.Atoi(lines.Text())
		check(err)
		created := map[string]int{plain.Name: 0, extracted.Name: 0}
		for range times {
			for _, source := range []*v1alpha1.CatalogSource{plain, extracted} {
				before := known.pods(source)
				reconcile(factory.ReconcilerForSource(source), source)
				known.refresh()
				for uid := range known.pods(source) {
					if !before[uid] {
						created[source.Name]++
					}
				}
			}
		}
		check(output.Encode(created))
	}
}

func catalog(namespace, name, image string) *v1alpha1.CatalogSource {
	return &v1alpha1.CatalogSource{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: types.UID(name)},
		Spec:       v1alpha1.CatalogSourceSpec{SourceType: v1alpha1.SourceTypeGrpc, Image: image},
	}
}

// Calls the reconciler as syncRegistryServer does (pkg/controller/operators/catalog/operator.go).
func reconcile(registry reconciler.RegistryReconciler, source *v1alpha1.CatalogSource) {
	healthy, err := registry.CheckRegistryServer(log, source)
	check(err)
	if !healthy || source.Status.RegistryServiceStatus == nil {
		check(registry.EnsureRegistryServer(log, source))
	}
}

// What the operator knows of the cluster. OLM's informers lag behind; this is refreshed after each reconcile.
type view struct {
	client                                        kubernetes.Interface
	namespace                                     string
	podIndex, services, accounts, networkPolicies cache.Indexer
}

func newView(client kubernetes.Interface, namespace string) *view {
	indexer := func() cache.Indexer {
		return cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	}
	return &view{client, namespace, indexer(), indexer(), indexer(), indexer()}
}

func (v *view) lister() operatorlister.OperatorLister {
	lister := operatorlister.NewLister()
	lister.CoreV1().RegisterPodLister(v.namespace, corelisters.NewPodLister(v.podIndex))
	lister.CoreV1().RegisterServiceLister(v.namespace, corelisters.NewServiceLister(v.services))
	lister.CoreV1().RegisterServiceAccountLister(v.namespace, corelisters.NewServiceAccountLister(v.accounts))
	lister.NetworkingV1().RegisterNetworkPolicyLister(v.namespace, networkinglisters.NewNetworkPolicyLister(v.networkPolicies))
	return lister
}

func (v *view) refresh() {
	ctx, all := context.Background(), metav1.ListOptions{}
	core := v.client.CoreV1()
	pods, err := core.Pods(v.namespace).List(ctx, all)
	replace(v.podIndex, pods, err)
	services, err := core.Services(v.namespace).List(ctx, all)
	replace(v.services, services, err)
	accounts, err := core.ServiceAccounts(v.namespace).List(ctx, all)
	replace(v.accounts, accounts, err)
	policies, err := v.client.NetworkingV1().NetworkPolicies(v.namespace).List(ctx, all)
	replace(v.networkPolicies, policies, err)
}

func replace(index cache.Indexer, list runtime.Object, err error) {
	check(err)
	var objects []any
	check(meta.EachListItem(list, func(object runtime.Object) error {
		objects = append(objects, object)
		return nil
	}))
	check(index.Replace(objects, ""))
}

// Returns the UIDs of the Pods of a catalog.
func (v *view) pods(source *v1alpha1.CatalogSource) map[types.UID]bool {
	uids := map[types.UID]bool{}
	for _, object := range v.podIndex.List() {
		pod, err := meta.Accessor(object)
		check(err)
		if metav1.IsControlledBy(pod, source) {
			uids[pod.GetUID()] = true
		}
	}
	return uids
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
