//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
)

// Plugins are started, talked to and relayed through by `ingot` itself, as for a user: the
// ones of test/plugin are installed in a folder of the benchmark.

var pluginFigures = []figure{
	{"start of a plugin to its first answer", "<= 1.2x its own start", pluginStart},
	{"`validate`, 200 sources of a plugin", "<= 3 s", pluginSources},
	{"20 builds of a plugin's builder at a time", "", pluginBuilds},
	{"1 GB from a plugin through the host to a plugin's machine", ">= 300 MB/s, memory constant", pluginRelay},
}

// installPlugin builds a plugin of test/plugin and installs it below a folder, which it
// returns with the program.
func (b *bench) installPlugin(module, pkg, version string) (folder, program string, err error) {
	folder = filepath.Join(b.dir, "plugins-"+module)
	name := fmt.Sprintf("packer-plugin-%s_v%s_x5.0_%s_%s", module, version, runtime.GOOS, runtime.GOARCH)
	program = filepath.Join(folder, "github.com", "bench", module, name)
	cmd := exec.Command("go", "build", "-o", program, pkg)
	cmd.Dir = filepath.Join("test", "plugin", module)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("build %s: %w\n%s", module, err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(content)
	return folder, program, os.WriteFile(program+"_SHA256SUM", []byte(hex.EncodeToString(sum[:])), 0o644)
}

// pluginRun runs ingot with variables in its environment, among them the plugin folder.
func (b *bench) pluginRun(folder string, env []string, args ...string) func() (sample, error) {
	all := append([]string{"PACKER_PLUGIN_PATH=" + folder, "INGOT_CONFIG_DIR=" + b.dir}, env...)
	return func() (sample, error) { return b.once(nil, "env", append(append(all, b.ingot), args...)...) }
}

// pluginStart compares the first answer of a plugin's component with the time that the
// program takes until it says where it listens.
func pluginStart(b *bench) (string, error) {
	_, program, err := b.installPlugin("probe", "./server", "0.1.0")
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(
		func() (sample, error) { return ownStart(program) },
		func() (sample, error) { return firstAnswer(program) },
	)
	if err != nil {
		return "", err
	}
	return seconds(s[1].wall) + ", own start " + seconds(s[0].wall) + ": " + ratio(s[1].wall, s[0].wall), nil
}

// ownStart is the time until a plugin has printed its first line.
func ownStart(program string) (sample, error) {
	cmd := exec.Command(program, "start", "builder", packerwire.ProtobufFlag, "b")
	cmd.Env = append(os.Environ(), packerwire.CookieVariable+"="+packerwire.CookieValue)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return sample{}, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	s := sample{wall: time.Since(begin)}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if h, parseErr := packerwire.ParseHandshake(line); parseErr == nil && h.Network == "unix" {
		_ = os.RemoveAll(filepath.Dir(h.Address)) // nobody has connected to it
	}
	return s, err
}

// firstAnswer is the time until a component of a plugin has answered a call.
func firstAnswer(program string) (sample, error) {
	begin := time.Now()
	p, err := process.Start(context.Background(), nil, process.Options{
		Path: program, Name: "probe", Kind: process.Builder, Component: "b", Protobuf: true, Environ: os.Environ(),
	})
	if err != nil {
		return sample{}, err
	}
	_, err = packerwire.Builder{Caller: p.Caller()}.ConfigSpec(context.Background())
	s := sample{wall: time.Since(begin)}
	return s, errors.Join(err, p.End(context.Background()))
}

// requireProbe is the head of a template that uses the probe.
const requireProbe = `packer {
  required_plugins {
    probe = {
      source  = "github.com/bench/probe"
      version = "0.1.0"
    }
  }
}
`

// probeSources is a template with n sources of the probe.
func probeSources(n int) string {
	var t strings.Builder
	t.WriteString(requireProbe)
	refs := make([]string, n)
	for i := range n {
		fmt.Fprintf(&t, "source \"probe-b\" \"s%d\" {\n  greeting = \"hello %d\"\n}\n", i, i)
		refs[i] = fmt.Sprintf("\"source.probe-b.s%d\"", i)
	}
	fmt.Fprintf(&t, "build {\n  sources = [%s]\n}\n", strings.Join(refs, ", "))
	return t.String()
}

func pluginSources(b *bench) (string, error) {
	folder, _, err := b.installPlugin("probe", "./server", "0.1.0")
	if err != nil {
		return "", err
	}
	path, err := b.write("plugin-sources/t.pkr.hcl", probeSources(200))
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(b.pluginRun(folder, nil, "validate", path))
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall), nil
}

func pluginBuilds(b *bench) (string, error) {
	folder, _, err := b.installPlugin("probe", "./server", "0.1.0")
	if err != nil {
		return "", err
	}
	one, err := b.write("plugin-one/t.pkr.hcl", probeSources(1))
	if err != nil {
		return "", err
	}
	many, err := b.write("plugin-many/t.pkr.hcl", probeSources(20))
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(b.pluginRun(folder, nil, "build", one), b.pluginRun(folder, nil, "build", many))
	if err != nil {
		return "", err
	}
	return seconds(s[1].wall) + ", one " + seconds(s[0].wall), nil
}

// pluginRelay uploads from a plugin's provisioner to a plugin's machine, which throws it
// away.
func pluginRelay(b *bench) (string, error) {
	folder, _, err := b.installPlugin("rogue", ".", "1.0.0")
	if err != nil {
		return "", err
	}
	path, err := b.write("plugin-relay/t.pkr.hcl", strings.ReplaceAll(strings.Replace(requireProbe, "0.1.0", "1.0.0", 1), "probe", "rogue")+`
source "rogue-b" "b" {
}
build {
  sources = ["source.rogue-b.b"]
  provisioner "rogue-p" {
  }
}
`)
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(
		b.pluginRun(folder, []string{"ROGUE=transfer", "ROGUE_MB=1"}, "build", "-no-watchdog", path),
		b.pluginRun(folder, []string{"ROGUE=transfer", "ROGUE_MB=1001"}, "build", "-no-watchdog", path),
	)
	if err != nil {
		return "", err
	}
	rate := 1000 / (s[1].wall - s[0].wall).Seconds()
	return fmt.Sprintf("%.0f MB/s, %s (%s for 1 MB)", rate, megabytes(s[1].rss), megabytes(s[0].rss)), nil
}
