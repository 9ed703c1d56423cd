package main

import (
	"fmt"
	"strings"
)

// How much of a published package we have.
type coverage int

const (
	skip   coverage = iota // ours alone, or the protobuf runtime's
	subset                 // what we have must be theirs, but we need not have all of it
	whole                  // all of it, and nothing else
)

// The Workload API has no package name; only its file tells it from other nameless ones.
const workloadFile = "workload.proto"

// The package of hashicorp/go-plugin.
const goPlugin = "plugin"

func wantedPackage(name, path string) coverage {
	switch {
	case name == "":
		if path == workloadFile || strings.HasSuffix(path, "/"+workloadFile) {
			return whole
		}
		return skip
	case strings.HasPrefix(name, "spire."), name == "grpc.health.v1", name == goPlugin:
		return whole
	case strings.HasPrefix(name, "envoy."), name == "google.rpc":
		return subset
	default:
		return skip
	}
}

// accepted lists the names on which we differ on purpose, each with the reason. It is empty, and best stays so.
var accepted = map[string]string{}

func compare(ours, theirs facts) []string {
	var differences []string
	report := func(name, format string, values ...any) {
		if _, known := accepted[name]; !known {
			differences = append(differences, name+": "+fmt.Sprintf(format, values...))
		}
	}
	for name, fact := range ours {
		switch published, exists := theirs[name]; {
		case !exists:
			report(name, "ours has %q, the published descriptors have nothing", fact)
		case published != fact:
			report(name, "ours is %q, published is %q", fact, published)
		}
	}
	for name, fact := range theirs {
		if _, exists := ours[name]; !exists && partOfWhole(name) {
			report(name, "published is %q, ours has nothing", fact)
		}
	}
	return differences
}

// Full names do not say where the package ends, but no package that we have a subset of begins like one that we have
// whole, and the nameless package's names begin without a lower-case package.
func partOfWhole(name string) bool {
	first, _, dotted := strings.Cut(name, ".")
	return first == "spire" || first == goPlugin || strings.HasPrefix(name, "grpc.health.v1.") ||
		!dotted || first != strings.ToLower(first)
}
