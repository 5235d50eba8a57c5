//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

var figures = []figure{
	{"`version`, start to exit", "<= 20 ms, <= 30 MB", startUp},
	{"`validate`, 400 sources and 400 locals", "<= 0.2 s, <= 60 MB", func(b *bench) (string, error) { return validate(b, 400) }},
	{"`validate`, 10,000 sources and 10,000 locals", "<= 4 s, linear", func(b *bench) (string, error) { return validate(b, 10_000) }},
	{"500 data sources of 100 ms each", "<= 2 s", func(b *bench) (string, error) { return dataSources(b, 500, 1) }},
	{"20 chains of 10 data sources of 100 ms each", "<= 2 s", func(b *bench) (string, error) { return dataSources(b, 200, 10) }},
	{"100 null builds, one trivial shell-local each", "<= 1 s", nullBuilds},
	{"10 trivial shell provisioners over SSH", "<= 0.35 s, <= 1.5x raw", sshScripts},
	{"1,000 files of 2 KB and one of 200 MB over SSH", "<= 1.2x tar through ssh", sshFiles},
	{"docker: 3 shell provisioners, commit, tag", "<= 1.0 s, < docker build", dockerBuild},
	{"oci: the same three steps, cached base, archive written", "", ociBuild},
	{"docker: `build -if-changed`, nothing has changed", "<= 0.2 s", nothingChanged},
	{"`fmt`, 5 MB in 500 files, all to be changed", "<= 1 s", func(b *bench) (string, error) { return format(b, 500) }},
	{"`fmt`, 5 MB in one file, all to be changed", "<= 1 s", func(b *bench) (string, error) { return format(b, 1) }},
	{"stripped binary", "<= 60 MB", binarySize},
}

func startUp(b *bench) (string, error) {
	s, err := b.inTurn(b.ingotRun("version"))
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall) + ", " + megabytes(s[0].rss), nil
}

func validate(b *bench, n int) (string, error) {
	var t strings.Builder
	t.WriteString("locals {\n")
	for i := range n {
		// Chains of fifty, so that locals do depend on each other.
		if i%50 == 0 {
			fmt.Fprintf(&t, "  l%d = \"v%d\"\n", i, i)
		} else {
			fmt.Fprintf(&t, "  l%d = \"v%d-${length(local.l%d)}\"\n", i, i, i-1)
		}
	}
	t.WriteString("}\n")
	refs := make([]string, n)
	for i := range n {
		fmt.Fprintf(&t, "source \"null\" \"s%d\" {\n  communicator = \"none\"\n  ssh_host     = local.l%d\n}\n", i, i)
		refs[i] = fmt.Sprintf("\"source.null.s%d\"", i)
	}
	fmt.Fprintf(&t, "build {\n  sources = [%s]\n  provisioner \"shell-local\" {\n    inline = [\"true\"]\n  }\n}\n", strings.Join(refs, ", "))
	path, err := b.write(fmt.Sprintf("validate-%d/t.pkr.hcl", n), t.String())
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(b.ingotRun("validate", path))
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall) + ", " + megabytes(s[0].rss), nil
}

// dataSources reads n data sources from a server that takes 100 ms for each,
// in chains of a length: each but the first needs what the one before it got.
func dataSources(b *bench, n, chain int) (string, error) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(100 * time.Millisecond)
		fmt.Fprint(w, r.URL.Path)
	}))
	defer server.Close()
	var t strings.Builder
	for i := range n {
		url := fmt.Sprintf("%s/%d", server.URL, i)
		if i%chain != 0 {
			url += fmt.Sprintf("?after=${data.http.d%d.body}", i-1)
		}
		fmt.Fprintf(&t, "data \"http\" \"d%d\" {\n  url = %q\n}\n", i, url)
	}
	t.WriteString("source \"null\" \"s\" {\n  communicator = \"none\"\n}\nbuild {\n  sources = [\"null.s\"]\n}\n")
	path, err := b.write(fmt.Sprintf("data-%d-%d/t.pkr.hcl", n, chain), t.String())
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(b.ingotRun("validate", "-evaluate-datasources", path))
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall) + ", " + megabytes(s[0].rss), nil
}

func nullBuilds(b *bench) (string, error) {
	var t strings.Builder
	refs := make([]string, 100)
	for i := range refs {
		fmt.Fprintf(&t, "source \"null\" \"s%d\" {\n  communicator = \"none\"\n}\n", i)
		refs[i] = fmt.Sprintf("\"source.null.s%d\"", i)
	}
	fmt.Fprintf(&t, "build {\n  sources = [%s]\n  provisioner \"shell-local\" {\n    inline = [\"true\"]\n  }\n}\n", strings.Join(refs, ", "))
	path, err := b.write("null/t.pkr.hcl", t.String())
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(b.ingotRun("build", path))
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall), nil
}

func (b *bench) sshSource() string {
	return fmt.Sprintf(`source "null" "m" {
  ssh_host             = %q
  ssh_port             = %d
  ssh_username         = %q
  ssh_private_key_file = %q
  ssh_host_key         = [%q]
}
`, b.env.SSH.Host, b.env.SSH.Port, b.env.SSH.User, b.env.SSH.KeyFile, b.env.SSH.HostKey)
}

// sshScripts compares ten provisioners with the same ten scripts sent on one
// connection of the Go library, and with ten OpenSSH commands that share a
// connection.
func sshScripts(b *bench) (string, error) {
	var t strings.Builder
	t.WriteString(b.sshSource() + "build {\n  sources = [\"source.null.m\"]\n")
	for i := range 10 {
		fmt.Fprintf(&t, "  provisioner \"shell\" {\n    inline = [\"echo %d\"]\n  }\n", i)
	}
	path, err := b.write("ssh/t.pkr.hcl", t.String()+"}\n")
	if err != nil {
		return "", err
	}
	control := filepath.Join(b.dir, "mux")
	openssh := func() (sample, error) {
		begin := time.Now()
		for i := range 10 {
			args := append(b.opensshArgs(), "-o", "ControlMaster=auto", "-o", "ControlPath="+control, "-o", "ControlPersist=10")
			if _, err := b.once(nil, "ssh", append(args, "echo "+strconv.Itoa(i))...); err != nil {
				return sample{}, err
			}
		}
		s := sample{wall: time.Since(begin)}
		_, err := b.once(nil, "ssh", append(b.opensshArgs(), "-o", "ControlPath="+control, "-O", "exit")...)
		return s, err
	}
	s, err := b.inTurn(b.ingotRun("build", path), b.rawScripts, openssh)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %s raw (%s), ten shared OpenSSH commands %s",
		seconds(s[0].wall), ratio(s[0].wall, s[1].wall), seconds(s[1].wall), seconds(s[2].wall)), nil
}

func (b *bench) opensshArgs() []string {
	return []string{
		"-q", "-i", b.env.SSH.KeyFile, "-p", strconv.Itoa(b.env.SSH.Port), "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-l", b.env.SSH.User, b.env.SSH.Host,
	}
}

// rawScripts sends ten scripts on one connection and runs each, with nothing
// around it.
func (b *bench) rawScripts() (sample, error) {
	begin := time.Now()
	pem, err := os.ReadFile(b.env.SSH.KeyFile)
	if err != nil {
		return sample{}, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return sample{}, err
	}
	client, err := ssh.Dial("tcp", fmt.Sprintf("%s:%d", b.env.SSH.Host, b.env.SSH.Port), &ssh.ClientConfig{
		User: b.env.SSH.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return sample{}, err
	}
	defer client.Close()
	for i := range 10 {
		session, err := client.NewSession()
		if err != nil {
			return sample{}, err
		}
		session.Stdin = strings.NewReader(fmt.Sprintf("#!/bin/sh -e\necho %d\n", i))
		name := fmt.Sprintf("/tmp/bench_%d.sh", i)
		err = session.Run("cat > " + name + " && chmod 0755 " + name + " && " + name + " < /dev/null; rc=$?; rm -f " + name + "; exit $rc")
		session.Close()
		if err != nil {
			return sample{}, err
		}
	}
	return sample{wall: time.Since(begin)}, nil
}

// sshFiles compares the file provisioner with tar through ssh to tar.
func sshFiles(b *bench) (string, error) {
	tree := filepath.Join(b.dir, "tree")
	if err := makeTree(tree); err != nil {
		return "", err
	}
	target := fmt.Sprintf("/tmp/ingot-bench-%d", os.Getpid())
	path, err := b.write("files/t.pkr.hcl", b.sshSource()+fmt.Sprintf(`build {
  sources = ["source.null.m"]
  provisioner "file" {
    source      = %q
    destination = %q
  }
}
`, tree+"/", target+"/a/"))
	if err != nil {
		return "", err
	}
	remote := func(line string) error {
		_, err := b.once(nil, "ssh", append(b.opensshArgs(), line)...)
		return err
	}
	// Both start without the target; removing it is not measured.
	fresh := func(fn func() (sample, error)) func() (sample, error) {
		return func() (sample, error) {
			if err := remote("rm -rf " + target + "; mkdir -p " + target + "/a " + target + "/b"); err != nil {
				return sample{}, err
			}
			return fn()
		}
	}
	raw := func() (sample, error) {
		line := fmt.Sprintf("tar -C %s -cf - . | ssh %s 'tar -C %s/b -xf -'", tree, strings.Join(b.opensshArgs(), " "), target)
		return b.once(nil, "/bin/sh", "-c", line)
	}
	s, err := b.inTurn(fresh(b.ingotRun("build", path)), fresh(raw))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %s tar through ssh (%s)", seconds(s[0].wall), ratio(s[0].wall, s[1].wall), seconds(s[1].wall)), remote("rm -rf " + target)
}

func makeTree(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "small"), 0o755); err != nil {
		return err
	}
	for i := range 1000 {
		data := bytes.Repeat([]byte(fmt.Sprintf("%08d", i)), 256)
		if err := os.WriteFile(filepath.Join(dir, "small", strconv.Itoa(i)), data, 0o644); err != nil {
			return err
		}
	}
	f, err := os.Create(filepath.Join(dir, "large"))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(f, &pattern{}, 200_000_000)
	return err
}

// pattern is bytes that do not compress well, the same each time.
type pattern struct{ state uint64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		p.state = p.state*6364136223846793005 + 1442695040888963407
		b[i] = byte(p.state >> 56)
	}
	return len(b), nil
}

// dockerTemplate is a template with three steps on a container.
func (b *bench) dockerTemplate() (string, error) {
	return b.write("docker/t.pkr.hcl", fmt.Sprintf(`source "docker" "d" {
  image  = %q
  pull   = false
  commit = true
}
build {
  sources = ["source.docker.d"]
  provisioner "shell" {
    inline = ["echo one > /one"]
  }
  provisioner "shell" {
    inline = ["echo two > /two"]
  }
  provisioner "shell" {
    inline = ["echo three > /three"]
  }
  post-processor "docker-tag" {
    repository = "ingot-bench/ingot"
    tags       = ["latest"]
  }
}
`, b.env.DebianImage))
}

// dockerBuild compares with `docker build --no-cache` of the same steps.
func dockerBuild(b *bench) (string, error) {
	path, err := b.dockerTemplate()
	if err != nil {
		return "", err
	}
	file := fmt.Sprintf("FROM %s\nRUN echo one > /one\nRUN echo two > /two\nRUN echo three > /three\n", b.env.DebianImage)
	raw := func() (sample, error) {
		return b.once([]byte(file), "docker", "build", "-q", "--no-cache", "-t", "ingot-bench/raw:latest", "-")
	}
	s, err := b.inTurn(b.ingotRun("build", path), raw)
	if err != nil {
		return "", err
	}
	_, err = b.once(nil, "docker", "image", "rm", "-f", "ingot-bench/ingot:latest", "ingot-bench/raw:latest")
	return fmt.Sprintf("%s; %s docker build (%s)", seconds(s[0].wall), ratio(s[0].wall, s[1].wall), seconds(s[1].wall)), err
}

// nothingChanged is a build that was made before: one folder of 200 files, an image
// of the engine.
func nothingChanged(b *bench) (string, error) {
	for i := range 200 {
		if _, err := b.write(fmt.Sprintf("unchanged/tree/d%d/f%d", i%10, i), strings.Repeat("text\n", 400)); err != nil {
			return "", err
		}
	}
	path, err := b.write("unchanged/t.pkr.hcl", fmt.Sprintf(`source "docker" "d" {
  image  = %q
  pull   = false
  commit = true
}
build {
  sources = ["source.docker.d"]
  provisioner "file" {
    source      = "${path.root}/tree"
    destination = "/tree"
  }
  provisioner "shell" {
    inline = ["echo one > /one"]
  }
}
`, b.env.DebianImage))
	if err != nil {
		return "", err
	}
	build := b.ingotRun("build", "-if-changed", path)
	if _, err := build(); err != nil {
		return "", err
	}
	s, err := b.inTurn(build)
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall), nil
}

func ociBuild(b *bench) (string, error) {
	path, err := b.write("oci/t.pkr.hcl", fmt.Sprintf(`source "oci" "d" {
  from   = "tar:%s"
  output = "%s/oci/image.oci.tar"
}
build {
  sources = ["source.oci.d"]
  provisioner "shell" {
    inline = ["echo one > /one"]
  }
  provisioner "shell" {
    inline = ["echo two > /two"]
  }
  provisioner "shell" {
    inline = ["echo three > /three"]
  }
}
`, b.env.TinyTar, b.dir))
	if err != nil {
		return "", err
	}
	s, err := b.inTurn(b.ingotRun("build", "-force", path))
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall), nil
}

// format lays out a tree again and again, without writing what comes of it.
func format(b *bench, files int) (string, error) {
	const size = 5_000_000
	dir := fmt.Sprintf("fmt-%d", files)
	block := 0
	for i := range files {
		var t strings.Builder
		for t.Len() < size/files {
			fmt.Fprintf(&t, `source "amazon-ebs" "s%d" {
  region = "eu-west-1" # where the image is made
  instance_type= "t3.micro"
    ami_name = "image-${local.name}-${formatdate("YYYY", timestamp())}"
  tags = {
    Name = var.name
    Base_AMI="{{ .SourceAMI }}"
  }
  user_data = <<-EOT
    #!/bin/sh
    echo ${var.x}
  EOT
}

`, block)
			block++
		}
		if _, err := b.write(fmt.Sprintf("%s/d%d/f%d.pkr.hcl", dir, i%20, i), t.String()); err != nil {
			return "", err
		}
	}
	s, err := b.inTurn(b.ingotRun("fmt", "-recursive", "-write=false", dir))
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall) + ", " + seconds(s[0].cpu) + " of processor time, " + megabytes(s[0].rss), nil
}

func binarySize(b *bench) (string, error) {
	info, err := os.Stat(b.ingot)
	if err != nil {
		return "", err
	}
	return megabytes(info.Size()), nil
}
