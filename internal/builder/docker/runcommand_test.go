package docker

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestRunCommand(t *testing.T) {
	t.Setenv("INGOT_TEST_PASSED", "on")
	for _, k := range []struct {
		args  string
		check func(*runSpec) any
		want  any
	}{
		{"-d -i -t --entrypoint=/bin/sh -- img", func(s *runSpec) any { return s.Config.Entrypoint }, []string{"/bin/sh"}},
		{"-dit img sleep -t 5", func(s *runSpec) any { return s.Config.Cmd }, []string{"sleep", "-t", "5"}},
		{"-dit img", func(s *runSpec) any { return []bool{s.Config.Tty, s.Config.OpenStdin} }, []bool{true, true}},
		{"-d img", func(s *runSpec) any { return []bool{s.Config.Tty, s.Config.OpenStdin} }, []bool{false, false}},
		{"--entrypoint= img", func(s *runSpec) any { return s.Config.Entrypoint }, []string{""}},
		{"img", func(s *runSpec) any { return s.Config.Entrypoint }, []string(nil)},
		{"-e A=1 --env B=2 -e INGOT_TEST_PASSED img", func(s *runSpec) any { return s.Config.Env }, []string{"A=1", "B=2", "INGOT_TEST_PASSED=on"}},
		{"-v /a:/b:ro -v name:/c img", func(s *runSpec) any { return s.Host.Binds }, []string{"/a:/b:ro", "name:/c"}},
		{"-v /anonymous img", func(s *runSpec) any { return s.Config.Volumes }, map[string]struct{}{"/anonymous": {}}},
		{"--name n -u me -w /w -h host img", func(s *runSpec) any {
			return []string{s.Name, s.Config.User, s.Config.WorkingDir, s.Config.Hostname}
		}, []string{"n", "me", "/w", "host"}},
		{"-m 1g --memory-swap -1 --cpus 1.5 --shm-size 64k img", func(s *runSpec) any {
			return []int64{s.Host.Memory, s.Host.MemorySwap, s.Host.NanoCPUs, s.Host.ShmSize}
		}, []int64{1 << 30, -1, 1.5e9, 64 << 10}},
		{"--network none img", func(s *runSpec) any { return s.Host.NetworkMode }, container.NetworkMode("none")},
		{"--net host img", func(s *runSpec) any { return s.Host.NetworkMode }, container.NetworkMode("host")},
		{"--network n --network-alias web img", func(s *runSpec) any { return s.Networking.EndpointsConfig["n"].Aliases }, []string{"web"}},
		{"-p 127.0.0.1:8080:80 img", func(s *runSpec) any {
			for p, b := range s.Host.PortBindings {
				return p.String() + " " + b[0].HostIP.String() + " " + b[0].HostPort
			}
			return nil
		}, "80/tcp 127.0.0.1 8080"},
		{"--expose 90-91/udp img", func(s *runSpec) any { return len(s.Config.ExposedPorts) }, 2},
		{"--tmpfs /t:size=1m --mount type=tmpfs,dst=/u img", func(s *runSpec) any { return s.memoryMounts() }, []string{"/dev", "/proc", "/sys", "/t", "/u"}},
		{"--device /dev/a:/dev/b:r img", func(s *runSpec) any { return s.Host.Devices }, []container.DeviceMapping{{PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "r"}}},
		{"--device /dev/a:rw img", func(s *runSpec) any { return s.Host.Devices[0] }, container.DeviceMapping{PathOnHost: "/dev/a", PathInContainer: "/dev/a", CgroupPermissions: "rw"}},
		{"--privileged --read-only --init img", func(s *runSpec) any { return s.Host.Privileged && s.Host.ReadonlyRootfs && *s.Host.Init }, true},
		{"--cap-add A --cap-add B --cap-drop ALL img", func(s *runSpec) any { return append(s.Host.CapAdd, s.Host.CapDrop...) }, []string{"A", "B", "ALL"}},
		{"--rm img", func(s *runSpec) any { return s.Host.AutoRemove }, false},
		{"--restart on-failure:3 img", func(s *runSpec) any { return s.Host.RestartPolicy.MaximumRetryCount }, 3},
		{"--health-cmd true --health-retries 2 img", func(s *runSpec) any { return s.Config.Healthcheck.Test }, []string{"CMD-SHELL", "true"}},
		{"--no-healthcheck img", func(s *runSpec) any { return s.Config.Healthcheck.Test }, []string{"NONE"}},
		{"-l a=b --label c img", func(s *runSpec) any { return s.Config.Labels }, map[string]string{"a": "b", "c": ""}},
		{"--gpus all img", func(s *runSpec) any { return s.Host.DeviceRequests[0].Count }, -1},
		{"--security-opt no-new-privileges --security-opt seccomp=unconfined img", func(s *runSpec) any { return len(s.Host.SecurityOpt) }, 2},
		{"--ulimit nofile=1:2 img", func(s *runSpec) any { return s.Host.Ulimits[0].Hard }, int64(2)},
		{"--sysctl a=b --log-driver none img", func(s *runSpec) any { return s.Host.Sysctls["a"] + s.Host.LogConfig.Type }, "bnone"},
		{"--dns 1.1.1.1 --dns-search x --add-host a:1.2.3.4 img", func(s *runSpec) any { return s.Host.DNS[0].String() + s.Host.ExtraHosts[0] }, "1.1.1.1a:1.2.3.4"},
		{"--pids-limit 7 --stop-timeout 3 img", func(s *runSpec) any { return *s.Host.PidsLimit + int64(*s.Config.StopTimeout) }, int64(10)},
	} {
		s, err := parseRun(strings.Fields(k.args))
		if err != nil {
			t.Errorf("%s: %v", k.args, err)
			continue
		}
		if got := k.check(s); !reflect.DeepEqual(got, k.want) {
			t.Errorf("%s: got %#v, want %#v", k.args, got, k.want)
		}
		if s.Image != "img" {
			t.Errorf("%s: image %q", k.args, s.Image)
		}
	}
}

func TestRunCommandRefusals(t *testing.T) {
	for args, want := range map[string]string{
		"-d -i":                         "names no image",
		"":                              "names no image",
		"--frobnicate img":              "--frobnicate is not supported. Supported are: --add-host,",
		"-z img":                        "-z is not supported",
		"-a stdout img":                 "runs in the background",
		"--attach stdout img":           "runs in the background",
		"--cidfile f img":               "build.ID",
		"--pull always img":             "pull attribute",
		"--memory lots img":             "--memory",
		"--cpus many img":               "--cpus",
		"--ulimit x img":                "--ulimit",
		"--publish x:y img":             "--publish",
		"--dns name img":                "--dns",
		"--volume relative img":         "--volume",
		"--volume :/x img":              "--volume",
		"--device a:b:c:d img":          "--device",
		"--device a:b:q img":            "--device",
		"--env = img":                   "--env",
		"--env-file /nonexistent/f img": "--env",
		"--security-opt seccomp=/nonexistent/f img": "seccomp",
		"--restart always --rm img":                 "exclude each other",
		"--no-healthcheck --health-cmd x img":       "exclude each other",
		"--log-opt a=b img":                         "--log-driver",
		"--ip nowhere img":                          "--ip",
		"--mount nonsense img":                      "--mount",
	} {
		_, err := parseRun(strings.Fields(args))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}

func TestRunCommandFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	s, err := parseRun([]string{"--env-file", write("env", "A=1\n# no\nB=two words\n"), "-e", "A=3", "--security-opt", "seccomp=" + write("s.json", "{}"), "img"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Config.Env, "|"); got != "A=1|B=two words|A=3" {
		t.Errorf("env %s", got)
	}
	if s.Host.SecurityOpt[0] != "seccomp={}" {
		t.Errorf("seccomp %q", s.Host.SecurityOpt)
	}
	if _, err := parseRun([]string{"--security-opt", "seccomp=" + write("bad", "{"), "img"}); err == nil {
		t.Error("a profile that is no JSON was taken")
	}
	t.Chdir(dir)
	if s, err = parseRun([]string{"-v", "./x:/x", "img"}); err != nil || s.Host.Binds[0] != filepath.Join(dir, "x")+":/x" {
		t.Errorf("relative volume: %v, %v", s, err)
	}
}

func FuzzRunCommand(f *testing.F) {
	f.Add("-d\n-i\n-t\n--entrypoint=/bin/sh\n--\nimage")
	f.Add("--ulimit\nnofile=1\n-p\n80:80\n--mount\ntype=tmpfs,dst=/x\nimage\ncmd")
	f.Add("--network\nname=x,alias=y\n--gpus\n2\n--device\n/dev/a::\nimage")
	f.Fuzz(func(t *testing.T, text string) {
		for _, reads := range []string{"file", "seccomp"} {
			if strings.Contains(text, reads) {
				t.Skip() // would read what the text names
			}
		}
		s, err := parseRun(strings.Split(text, "\n"))
		if err == nil && s.Image == "" {
			t.Error("no image and no error")
		}
	})
}
