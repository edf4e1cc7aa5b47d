// Writes tests/data/keyring.tsv: which credentials the kubelet's own keyring gives for an image.
//
// Run it in a module that requires k8s.io/kubernetes v1.36.3 and replaces each k8s.io module of v0.0.0 with v0.36.3.
package main

import (
	"fmt"
	"strings"

	"k8s.io/kubernetes/pkg/credentialprovider"
)

func main() {
	keys := strings.Fields(`quay.io quay.io/coreos quay.io/core quay.io/coreos/ https://quay.io http://quay.io/v2/ quay.io/v1/coreos quay.io/v2 *.io *.*.io q*.io *y.io q*y.io *
	index.docker.io https://index.docker.io/v1/ docker.io docker.io/library registry.example.com registry.example.com:5000 registry.example.com:5000/team
	registry.example.com:443 *.example.com *.example.com:5000 reg*.example.com registry.*.com *.*.com r*i*y.example.com registry.example.com/team registry.example.com/team/app
	REGISTRY.example.com localhost localhost:5000 [::1]:5000 10.0.0.1 10.0.*.1:5000 *.dkr.ecr.*.amazonaws.com gcr.io/my-project *.gcr.io registry.example.com?x registry.example.com:`)
	images := strings.Fields(`quay.io/coreos/etcd quay.io/coreosx/etcd quay.io/other quay.io/core nginx library/nginx docker.io/library/nginx docker.io/me/app index.docker.io/library/nginx
	registry.example.com/team/app registry.example.com/teams/app registry.example.com/x registry.example.com:5000/team/app registry.example.com:5000/x registry.example.com:443/team/app
	eu.registry.example.com/x localhost/x localhost:5000/x [::1]:5000/x 10.0.0.1/x 10.0.7.1:5000/x 123456789012.dkr.ecr.eu-west-1.amazonaws.com/k8s/pause gcr.io/my-project/x gcr.io/my-projects/x eu.gcr.io/my-project/x a.b.io/x`)
	fmt.Println("# Keys in `auths` (each is its own user name), an image, and the user names that BasicDockerKeyring of Kubernetes 1.36.3 returns, in order.")
	sets := [][]string{}
	for _, k := range keys {
		sets = append(sets, []string{k})
	}
	all := []string{}
	for _, k := range keys {
		switch k {
		case "https://quay.io", "http://quay.io/v2/", "https://index.docker.io/v1/", "quay.io/v1/coreos", "registry.example.com?x":
		default:
			all = append(all, k)
		}
	}
	sets = append(sets, all, []string{"quay.io", "quay.io/coreos"}, []string{"*.example.com", "registry.example.com"})
	for _, set := range sets {
		cfg := credentialprovider.DockerConfig{}
		for _, k := range set {
			cfg[k] = credentialprovider.DockerConfigEntry{Username: k, Password: "p"}
		}
		ring := &credentialprovider.BasicDockerKeyring{}
		ring.Add(nil, cfg)
		for _, image := range images {
			found, _ := ring.Lookup(image)
			names := []string{}
			for _, one := range found {
				names = append(names, one.Username)
			}
			fmt.Printf("%s\t%s\t%s\n", strings.Join(set, " "), image, strings.Join(names, " "))
		}
	}
}
