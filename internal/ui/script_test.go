package ui

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/addr"
	"ingot/internal/component"
	"ingot/internal/retry"
)

var (
	alpha = addr.Build{Block: "os", Source: addr.Source{Type: "docker", Name: "alpha"}}
	beta  = addr.Build{Source: addr.Source{Type: "null", Name: "beta"}}
	twin  = addr.Build{Source: addr.Source{Type: "null", Name: "beta"}, Ordinal: 2}
	gamma = addr.Build{Source: addr.Source{Type: "qemu", Name: "γάμμα"}}

	shell    = addr.Step{Kind: addr.Provisioner, Type: "shell", Name: "install"}
	file     = addr.Step{Kind: addr.Provisioner, Index: 1, Type: "file"}
	cleanup  = addr.Step{Kind: addr.ErrorCleanup, Type: "shell-local"}
	manifest = addr.Step{Kind: addr.PostProcessor, Type: "manifest"}
	tag      = addr.Step{Kind: addr.PostProcessor, Chain: 1, Type: "docker-tag", Name: "name it"}
)

// scriptStart is when the canned run starts.
var scriptStart = time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.UTC)

// script is a canned run with something of everything: four builds side by
// side, two of the same name, one that fails in a provisioner, one that fails
// in a post-processor but has an artifact.
func script() []component.Stamped {
	var out []component.Stamped
	now := time.Duration(0)
	at := func(d time.Duration, b addr.Build, s addr.Step, events ...component.Event) {
		now = d
		for _, e := range events {
			out = append(out, component.Stamped{
				Origin: component.Origin{Build: b, Step: s},
				At:     scriptStart.Add(now), Since: now, Event: e,
			})
		}
	}
	ms := time.Millisecond
	none, whole := addr.Step{}, addr.Build{}
	image := &component.Artifact{
		Producer: "packer.docker", ID: "sha256:abc", Summary: "Imported Docker image: sha256:abc",
		Images: []component.Image{{Provider: "docker", ID: "sha256:abc", Parent: "sha256:000"}},
	}
	disk := &component.Artifact{
		Producer: "transcend.qemu", ID: "VM", Summary: "VM files in directory: output-γάμμα, two of them",
		Files: []component.File{{Path: "output/a,b.img", Size: 1 << 30, Digest: "sha256:dd"}, {Path: "output/nvram", Size: 12}},
	}
	held := component.Resource{Kind: "docker.container", Token: "ingot-01", ID: "c0ffee"}

	at(0, whole, none, component.RunStarted{RunID: "01J", Builds: []addr.Build{alpha, beta, twin, gamma}})
	at(1*ms, whole, none, component.Warning{Summary: "Deprecated attribute", Detail: "\"iso_md5\" is gone.\nUse iso_checksum."})
	for _, b := range []addr.Build{beta, alpha, twin, gamma} {
		at(2*ms, b, none, component.BuildStarted{})
	}
	at(3*ms, alpha, none,
		component.PhaseStarted{Phase: component.PhasePrepare},
		component.Message{Text: "Creating a temporary directory for sharing data...\n"},
		component.Progress{ID: "layer1", Label: "ubuntu:24.04", Total: 30_000_000})
	at(1500*ms, alpha, none, component.Progress{ID: "layer1", Label: "ubuntu:24.04", Done: 9_000_000, Total: 30_000_000})
	at(1600*ms, alpha, none, component.Progress{ID: "layer1", Label: "ubuntu:24.04", Done: 16_000_000, Total: 30_000_000})
	at(4*time.Second, alpha, none,
		component.Progress{ID: "layer1", Label: "ubuntu:24.04", Done: 30_000_000, Total: 30_000_000, Finished: true},
		component.PhaseEnded{Phase: component.PhasePrepare, Duration: 3997 * ms},
		component.PhaseStarted{Phase: component.PhaseBoot},
		component.ResourceHeld{Resource: held},
		component.PhaseEnded{Phase: component.PhaseBoot, Duration: 20 * ms},
		component.PhaseStarted{Phase: component.PhaseProvision})
	at(5*time.Second, gamma, none,
		component.PhaseStarted{Phase: component.PhaseConnect},
		component.Waiting{For: "tcp 10.0.0.1:22"})
	for i := range 40 {
		d := time.Duration(i) * 500 * ms
		at(5*time.Second+d, gamma, none, component.Waiting{For: "tcp 10.0.0.1:22", Detail: "connection refused", Elapsed: d})
	}
	at(5100*ms, alpha, shell, component.StepStarted{},
		component.Message{Text: "Provisioning with shell script: install.sh"},
		component.Output{Stream: component.Stdout, Line: "Hello, 世界 \U0001F44B"})
	at(5200*ms, beta, shell, component.StepStarted{}, component.Output{Stream: component.Stdout, Line: "from beta"})
	at(5201*ms, twin, shell, component.StepStarted{}, component.Output{Stream: component.Stdout, Line: "from its twin"})
	at(5202*ms, alpha, shell,
		component.Output{Stream: component.Stderr, Line: "+ apt-get update"},
		component.Output{Stream: component.Stdout, Line: "  10%\r  50%\r 100% done\r"},
		component.Output{Stream: component.Stdout, Line: ""},
		component.Output{Stream: component.Stdout, Line: "\x1b[32mgreen\x1b[0m \x1b]0;title\x07\x1b[2Jplain \xff\xfe \x9b31m"},
		component.Output{Stream: component.Stdout, Line: strings.Repeat("long line ", 30)},
		component.Message{Text: "two\n\nparagraphs \n\n"})
	at(6*time.Second, alpha, shell,
		component.Retrying{What: "upload of install.sh", Class: "transient", Attempt: 1, Delay: 2 * time.Second, Err: errors.New("connection reset")},
		component.StepEnded{Duration: 900 * ms, Attempts: 2})
	at(6050*ms, alpha, file, component.CacheChecked{Hit: true}, component.CacheChecked{Why: "file a.txt changed"}, component.StepSkipped{Reason: "its result is in the step cache"})
	at(6100*ms, alpha, file, component.StepStarted{},
		component.StepEnded{Duration: 100 * ms, Attempts: 1, Tolerated: true, Err: errors.New("a.txt: no such file")})
	at(6500*ms, beta, shell, component.WaitEnded{For: "SSH at [fe80::1]:22", Elapsed: 300 * time.Second, Attempts: 2, Err: errors.New("no route, host"),
		Stages: []component.WaitStage{
			{Name: "address", Took: 2 * time.Second, State: component.StagePassed}, {Name: "tcp", Took: 297 * time.Second, State: component.StageFailed},
			{Name: "banner", Took: time.Second, State: component.StagePending}, {Name: "host key", State: component.StagePending}}},
		component.WaitEnded{For: "SSH at 10.0.0.2:22", Elapsed: 300 * ms, Attempts: 1, Stages: []component.WaitStage{{Name: "tcp", State: component.StagePassed, Took: 300 * ms}}})
	at(7*time.Second, beta, shell, component.Problem{Text: "the script did not like it"},
		component.StepEnded{Duration: 1800 * ms, Attempts: 1, Err: errors.New("script exited with 3")})
	at(7100*ms, beta, cleanup, component.StepStarted{}, component.StepEnded{Duration: 5 * ms, Attempts: 1})
	at(7200*ms, beta, none, component.BuildEnded{Duration: 7198 * ms,
		Err: retry.As(retry.User, fmt.Errorf("provisioner shell: %w", errors.New("script exited with 3\nand said why")))})
	at(7300*ms, twin, shell, component.StepEnded{Duration: 2099 * ms, Attempts: 1})
	at(7301*ms, twin, none, component.BuildEnded{Duration: 7301*ms + 250*time.Microsecond, Artifacts: []*component.Artifact{nil}})
	at(36*time.Second, gamma, none,
		component.Waiting{For: "tcp 10.0.0.1:22", Detail: "connection refused", Elapsed: 31 * time.Second},
		component.Waiting{For: "ssh authentication", Elapsed: 31 * time.Second},
		component.WaitEnded{For: "SSH at 10.0.0.1:22", Elapsed: 31 * time.Second, Attempts: 41, Stages: []component.WaitStage{
			{Name: "address", Took: 3 * ms, State: component.StagePassed}, {Name: "tcp", Took: 30400 * ms, State: component.StagePassed},
			{Name: "authentication", Took: 597 * ms, State: component.StagePassed}}},
		component.PhaseEnded{Phase: component.PhaseConnect, Duration: 31 * time.Second},
		component.PhaseStarted{Phase: component.PhaseCapture},
		component.ArtifactMade{Artifact: disk},
		component.PhaseEnded{Phase: component.PhaseCapture, Duration: time.Second},
		component.PhaseStarted{Phase: component.PhasePostProcess})
	at(37*time.Second, gamma, manifest, component.StepStarted{},
		component.Message{Text: "writing packer-manifest.json"},
		component.StepEnded{Duration: 12 * ms, Attempts: 1, Err: errors.New("disk full")})
	at(38*time.Second, alpha, none,
		component.PhaseEnded{Phase: component.PhaseProvision, Duration: 2 * time.Second},
		component.PhaseStarted{Phase: component.PhaseCapture},
		component.ArtifactMade{Artifact: image},
		component.ResourceKept{Resource: component.Resource{Kind: "docker.image", Token: "t", ID: "sha256:abc"}},
		component.PhaseEnded{Phase: component.PhaseCapture, Duration: time.Second},
		component.PhaseStarted{Phase: component.PhasePostProcess})
	at(39*time.Second, alpha, tag, component.StepStarted{},
		component.Message{Text: "Tagging image: sha256:abc"},
		component.StepEnded{Duration: 40 * ms, Attempts: 1})
	at(40*time.Second, alpha, none,
		component.PhaseEnded{Phase: component.PhasePostProcess, Duration: 50 * ms},
		component.PhaseStarted{Phase: component.PhaseRelease},
		component.ResourceReleased{Resource: held, Err: errors.New("docker: remove container c0ffee: daemon is gone")},
		component.PhaseEnded{Phase: component.PhaseRelease, Duration: 30 * ms},
		component.BuildEnded{Duration: 40*time.Second + 31*ms, Artifacts: []*component.Artifact{image}})
	at(41*time.Second, gamma, none, component.BuildEnded{Duration: 41 * time.Second, Artifacts: []*component.Artifact{disk},
		Err: errors.New("post-processor manifest: disk full")})
	at(41*time.Second, whole, none, component.RunEnded{Duration: 41*time.Second + 5*ms, Failed: 2})
	slices.SortStableFunc(out, func(a, b component.Stamped) int { return cmp.Compare(a.Since, b.Since) })
	return out
}

func play(s Sink, events []component.Stamped) error {
	for _, e := range events {
		s.Handle(e)
	}
	return s.Close()
}
