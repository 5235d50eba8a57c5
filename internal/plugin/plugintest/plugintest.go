//go:build unix

// Package plugintest makes plugins for tests of what finds and installs them.
// They describe themselves and can do nothing else.
package plugintest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Description is what a plugin says of itself.
type Description struct {
	Version        string   `json:"version"`
	APIVersion     string   `json:"api_version"`
	Builders       []string `json:"builders"`
	Provisioners   []string `json:"provisioners"`
	PostProcessors []string `json:"post_processors"`
	DataSources    []string `json:"datasources"`
}

// Script is a plugin that describes itself so. When runs is not empty, it adds a
// line to that file each time that it is started.
func Script(d Description, runs string) []byte {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // strings can be encoded
	}
	note := ""
	if runs != "" {
		note = fmt.Sprintf("echo \"$@\" >>'%s'\n", runs)
	}
	return []byte(fmt.Sprintf("#!/bin/sh\n%s[ \"$1\" = describe ] || { echo 'unknown command' >&2; exit 1; }\ncat <<'END'\n%s\nEND\n", note, text))
}

// FileName is the name of a plugin's file for this platform.
func FileName(name, version, api string) string {
	return fmt.Sprintf("packer-plugin-%s_%s_%s_%s_%s", name, version, api, runtime.GOOS, runtime.GOARCH)
}

// Put writes a file with a checksum file beside it and returns its path.
func Put(t testing.TB, dir, file string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"_SHA256SUM", []byte(Digest(content)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Install puts a plugin that describes itself as its name says below a plugin
// folder.
func Install(t testing.TB, dir, source, version, api string) string {
	t.Helper()
	d := Description{Version: version, APIVersion: api, Builders: []string{"b"}}
	return Put(t, filepath.Join(dir, filepath.FromSlash(source)), FileName(filepath.Base(source), "v"+version, api), Script(d, ""))
}

// Digest is the SHA-256 in hexadecimal.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
