// Prints the registries that images are pulled from.
//
//	registries FILE              with containers/image and this registries.conf
//	registries --openshift FILE  the same, with the conversion of these ImageDigestMirrorSets and ImageTagMirrorSets by OpenShift
//	registries --docker FILE     with Docker and the mirrors of this daemon.json
//
// For each image on standard input it prints one line: the normalised name, a tab, and the references to try, in order; or
// `error: …`. Those of Docker are URLs of registries and paths.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	old "github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/moby/moby/v2/daemon/pkg/registry"
	configv1 "github.com/openshift/api/config/v1"
	"github.com/openshift/runtime-utils/pkg/registries"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
	"sigs.k8s.io/yaml"
)

func main() {
	folder, err := os.MkdirTemp("", "registries")
	check(err)
	defer os.RemoveAll(folder)
	conf := os.Args[len(os.Args)-1]
	switch os.Args[1] {
	case "--docker":
		service := docker(conf)
		eachImage(func(named reference.Named) ([]string, error) { return endpoints(service, named) })
		return
	case "--openshift":
		conf = filepath.Join(folder, "registries.conf")
		check(os.WriteFile(conf, openshift(os.Args[2]), 0o600))
	}
	system := &types.SystemContext{SystemRegistriesConfPath: conf, SystemRegistriesConfDirPath: folder + "/none"}
	_, err = sysregistriesv2.GetRegistries(system)
	check(err)
	eachImage(func(named reference.Named) ([]string, error) { return sources(system, named) })
}

func eachImage(sources func(reference.Named) ([]string, error)) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		named, err := reference.ParseNormalizedNamed(lines.Text())
		if err != nil {
			fmt.Printf("error: %v\n", err)
			continue
		}
		sources, err := sources(named)
		if err != nil {
			fmt.Printf("%s\terror: %v\n", named, err)
			continue
		}
		fmt.Printf("%s\t%s\n", named, strings.Join(sources, " "))
	}
	check(lines.Err())
}

func sources(system *types.SystemContext, named reference.Named) ([]string, error) {
	registry, err := sysregistriesv2.FindRegistry(system, named.Name())
	if err != nil {
		return nil, err
	}
	if registry == nil {
		return []string{named.String()}, nil
	}
	sources, err := registry.PullSourcesFromReference(named)
	texts := []string{}
	for i, source := range sources {
		// Only the registry in the name is blocked, not its mirrors.
		if !registry.Blocked || i+1 < len(sources) {
			texts = append(texts, source.Reference.String())
		}
	}
	return texts, err
}

func docker(file string) *registry.Service {
	text, err := os.ReadFile(file)
	check(err)
	var options registry.ServiceOptions
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	check(decoder.Decode(&options))
	for _, mirror := range options.Mirrors {
		_, err := registry.ValidateMirror(mirror)
		check(err)
	}
	// The addresses of registries matter only if they are insecure.
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name is looked up")
	}}
	service, err := registry.NewService(options)
	check(err)
	return service
}

func endpoints(service *registry.Service, named reference.Named) ([]string, error) {
	endpoints, err := service.LookupPullEndpoints(reference.Domain(named))
	path := strings.TrimPrefix(named.String(), reference.Domain(named)+"/")
	texts := []string{}
	for _, endpoint := range endpoints {
		texts = append(texts, strings.TrimSuffix(endpoint.URL.String(), "/")+"/"+path)
	}
	return texts, err
}

func openshift(file string) []byte {
	text, err := os.ReadFile(file)
	check(err)
	var digests []*configv1.ImageDigestMirrorSet
	var tags []*configv1.ImageTagMirrorSet
	for _, document := range strings.Split(string(text), "\n---\n") {
		var digest configv1.ImageDigestMirrorSet
		check(yaml.Unmarshal([]byte(document), &digest))
		switch digest.Kind {
		case "ImageDigestMirrorSet":
			digests = append(digests, &digest)
		case "ImageTagMirrorSet":
			var tag configv1.ImageTagMirrorSet
			check(yaml.Unmarshal([]byte(document), &tag))
			tags = append(tags, &tag)
		default:
			check(fmt.Errorf("%s: a document of kind %q", file, digest.Kind))
		}
	}
	var conf old.V2RegistriesConf
	check(registries.EditRegistriesConfig(&conf, nil, nil, nil, digests, tags))
	var written strings.Builder
	check(toml.NewEncoder(&written).Encode(conf))
	return []byte(written.String())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "registries:", err)
		os.Exit(1)
	}
}
