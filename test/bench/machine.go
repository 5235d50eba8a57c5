//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// machineFigures are about a virtual machine without acceleration.
var machineFigures = []figure{
	{"qemu: disk image, 3 shell provisioners, shut down, compacted", "<= raw boot to first SSH answer + 2.5 s", diskImageBuild},
	{"qemu: a boot command of 400 characters, all arrived", "<= 4 s", typing},
	{"100 MB into a Debian guest (OpenSSH)", "<= 1.2x scp", debianUpload},
	{"100 MB into a small guest (Dropbear)", "<= 1.2x scp", guestUpload},
	{"200 MB of output of a guest command", "<= 1.25x the time of ssh, constant memory", guestOutput},
}

// guest is what env.json says of the virtual machine.
type guest struct {
	Disk    string `json:"disk"`
	User    string `json:"user"`
	KeyFile string `json:"key_file"`
	HostKey string `json:"host_key"`
	// memory is in MiB; 256 when it is 0.
	memory int
}

var errNoGuest = errors.New("there is no virtual machine in the test environment")

// atMost limits the runs of rows that take long.
func (b *bench) atMost(runs int) *bench {
	few := *b
	few.runs = min(b.runs, runs)
	return &few
}

// qemuSource is the guest's disk as a source, with more settings.
func (b *bench) qemuSource(settings string) string {
	return fmt.Sprintf(`source "qemu" "m" {
  iso_url              = %q
  iso_checksum         = "none"
  disk_image           = true
  accelerator          = "tcg"
  memory               = 256
  headless             = true
  ssh_username         = %q
  ssh_private_key_file = %q
  # Busybox's init sleeps for two seconds on its way down.
  shutdown_command     = "sync; poweroff -f"
%s}
`, b.env.Guest.Disk, b.env.Guest.User, b.env.Guest.KeyFile, settings)
}

// diskImageBuild compares a whole build with the time that QEMU alone, started
// with the same machine, takes until the guest has run a first command.
func diskImageBuild(b *bench) (string, error) {
	if b.env.Guest == nil {
		return "", errNoGuest
	}
	path, err := b.write("disk-image/t.pkr.hcl", b.qemuSource("")+`build {
  sources = ["qemu.m"]
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
`)
	if err != nil {
		return "", err
	}
	raw := func() (sample, error) {
		begin := time.Now()
		m, err := b.boot()
		s := sample{wall: time.Since(begin)}
		if err == nil {
			m.end()
		}
		return s, err
	}
	s, err := b.inTurn(b.ingotRun("build", "-force", path), raw)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; raw boot %s + %s", seconds(s[0].wall), seconds(s[1].wall), seconds(s[0].wall-s[1].wall)), nil
}

// typing takes the time from the first key until the guest has shown the end of
// the line, and has a provisioner compare what arrived.
func typing(b *bench) (string, error) {
	if b.env.Guest == nil {
		return "", errNoGuest
	}
	text := strings.Repeat("Abc-12_/:=", 39) + "0123456end"
	path, err := b.write("typing/t.pkr.hcl", b.qemuSource(fmt.Sprintf(`
  boot_expect  = "typed>"
  boot_command = ["%s<enter><expect TYPED: .*end>"]
`, text))+fmt.Sprintf(`build {
  sources = ["qemu.m"]
  provisioner "shell" {
    inline = ["test \"$(cat /root/typed)\" = '%s'"]
  }
}
`, text))
	if err != nil {
		return "", err
	}
	few := b.atMost(3)
	s, err := few.inTurn(func() (sample, error) {
		if _, err := b.once(nil, b.ingot, "build", "-json", "-force", path); err != nil {
			return sample{}, err
		}
		took, err := between(filepath.Join(b.dir, "output"), "Typing the boot command", "Using SSH communicator")
		return sample{wall: took}, err
	})
	if err != nil {
		return "", err
	}
	return seconds(s[0].wall), nil
}

// between is the time from the first event that has a text to the first that
// has another.
func between(file, from, to string) (time.Duration, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	at := func(text string) (int64, error) {
		for _, line := range bytes.Split(data, []byte("\n")) {
			if !bytes.Contains(line, []byte(text)) {
				continue
			}
			var event struct {
				MS int64 `json:"ms"`
			}
			if err := json.Unmarshal(line, &event); err != nil {
				return 0, err
			}
			return event.MS, nil
		}
		return 0, fmt.Errorf("no event says %q", text)
	}
	begin, err := at(from)
	if err != nil {
		return 0, err
	}
	end, err := at(to)
	return time.Duration(end-begin) * time.Millisecond, err
}

// debianUpload is guestUpload into a whole system.
func debianUpload(b *bench) (string, error) {
	if b.env.Guest == nil {
		return "", errNoGuest
	}
	out, err := exec.Command(filepath.Join(b.env.Scripts, "guest"), "debian").Output()
	if err != nil {
		return "", fmt.Errorf("make the Debian guest: %w", err)
	}
	description, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "debian.json"))
	if err != nil {
		return "", err
	}
	debian := *b.env.Guest
	debian.memory = 512
	if err := json.Unmarshal(description, &debian); err != nil {
		return "", fmt.Errorf("debian.json: %w", err)
	}
	with := *b
	with.env.Guest = &debian
	return guestUpload(&with)
}

// guestUpload compares the file provisioner with scp.
func guestUpload(b *bench) (string, error) {
	const size = 100_000_000
	return b.withGuest(func(m *machine, source string) (string, error) {
		file := filepath.Join(b.dir, "upload")
		// In one piece it would count as memory of the processes that are
		// started from here: Linux hands the peak on.
		if err := writeRepeated(file, []byte("0123456789abcdef"), size/16); err != nil {
			return "", err
		}
		path, err := b.write("guest-upload/t.pkr.hcl", source+fmt.Sprintf(`build {
  sources = ["null.m"]
  provisioner "file" {
    source      = %q
    destination = "/root/a"
  }
}
`, file))
		if err != nil {
			return "", err
		}
		scp := func() (sample, error) {
			args := append(m.options(), "-P", strconv.Itoa(m.port), file, b.env.Guest.User+"@127.0.0.1:/root/b")
			return b.once(nil, "scp", args...)
		}
		s, err := b.atMost(3).inTurn(b.ingotRun("build", path), scp)
		if err != nil {
			return "", err
		}
		_, err = m.run("cmp /root/a /root/b")
		return fmt.Sprintf("%s; %s scp (%s)", seconds(s[0].wall), ratio(s[0].wall, s[1].wall), seconds(s[1].wall)), err
	})
}

func writeRepeated(path string, piece []byte, times int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	for range times {
		_, _ = w.Write(piece) // Flush has the error
	}
	return errors.Join(w.Flush(), file.Close())
}

// guestOutput compares what a provisioner prints with ssh printing the same.
func guestOutput(b *bench) (string, error) {
	const command = "yes 'a line of output that is as long as lines of output often are, and no longer' | head -c 200000000"
	return b.withGuest(func(m *machine, source string) (string, error) {
		path, err := b.write("guest-output/t.pkr.hcl", source+fmt.Sprintf(`build {
  sources = ["null.m"]
  provisioner "shell" {
    inline = [%q]
  }
}
`, command))
		if err != nil {
			return "", err
		}
		raw := func() (sample, error) {
			args := append(m.options(), "-p", strconv.Itoa(m.port), b.env.Guest.User+"@127.0.0.1", command)
			return b.once(nil, "ssh", args...)
		}
		s, err := b.atMost(2).inTurn(b.ingotRun("build", path), raw)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, %s; %s ssh (%s)", seconds(s[0].wall), megabytes(s[0].rss), ratio(s[0].wall, s[1].wall), seconds(s[1].wall)), nil
	})
}

// withGuest has a function use a running guest, and the text of a null source
// that leads to it, by the cipher that the qemu builder asks for when it emulates
// the processor.
func (b *bench) withGuest(use func(m *machine, source string) (string, error)) (string, error) {
	if b.env.Guest == nil {
		return "", errNoGuest
	}
	m, err := b.boot()
	if err != nil {
		return "", err
	}
	defer m.end()
	return use(m, fmt.Sprintf(`source "null" "m" {
  ssh_host             = "127.0.0.1"
  ssh_port             = %d
  ssh_username         = %q
  ssh_private_key_file = %q
  ssh_host_key         = [%q]
  ssh_ciphers          = ["chacha20-poly1305@openssh.com"]
}
`, m.port, b.env.Guest.User, b.env.Guest.KeyFile, b.env.Guest.HostKey))
}

// machine is a guest that QEMU runs without anything around it.
type machine struct {
	guest guest
	port  int
	qemu  *exec.Cmd
	dir   string
}

// boot starts the machine that the qemu builder starts for qemuSource, and waits
// until a command has run in it.
func (b *bench) boot() (*machine, error) {
	dir, err := os.MkdirTemp(b.dir, "machine-")
	if err != nil {
		return nil, err
	}
	disk := filepath.Join(dir, "disk.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", b.env.Guest.Disk, "-F", "qcow2", disk, "40G").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("qemu-img: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	m := &machine{guest: *b.env.Guest, port: port, dir: dir}
	m.qemu = exec.Command("qemu-system-x86_64", "-machine", "type=pc,accel=tcg", "-smp", "1", "-m", fmt.Sprintf("%dM", cmp.Or(m.guest.memory, 256)),
		"-drive", "file="+disk+",if=virtio,format=qcow2,cache=writeback,discard=ignore",
		"-netdev", fmt.Sprintf("user,id=user.0,hostfwd=tcp:127.0.0.1:%d-:22", port), "-device", "virtio-net,netdev=user.0",
		"-display", "none", "-serial", "file:"+filepath.Join(dir, "serial"))
	if err := m.qemu.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		_, err := m.run("true")
		if err == nil {
			return m, nil
		}
		if time.Now().After(end) {
			m.end()
			return nil, fmt.Errorf("the guest does not answer: %w", err)
		}
	}
}

func (m *machine) end() {
	_ = m.qemu.Process.Kill() // it may have ended
	_ = m.qemu.Wait()         // killed is what it is to say
	_ = os.RemoveAll(m.dir)   // the whole folder goes in the end
}

// options are those of ssh and scp.
func (m *machine) options() []string {
	return []string{"-q", "-i", m.guest.KeyFile, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"}
}

// run runs a command in the guest. QEMU takes connections before the guest does
// and holds them, so a try that gets no answer is given up soon.
func (m *machine) run(command string) ([]byte, error) {
	pem, err := os.ReadFile(m.guest.KeyFile)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, err
	}
	const patience = 2 * time.Second
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port))
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c, channels, requests, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User: m.guest.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	return session.CombinedOutput(command)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
