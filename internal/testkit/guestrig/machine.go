package guestrig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/qmp"
)

// machine is what a QEMU process is started with.
type machine struct {
	dir, overlay string
	memory, cpus int
	efi          bool
	args         []string
}

// watched runs QEMU for as long as its own input is open, which a test program
// that dies, in whatever way, closes. It ends when QEMU does.
const watched = `exec 3<&0
"$@" 3<&- </dev/null & qemu=$!
{ cat <&3 >/dev/null; kill -KILL $qemu; } 2>/dev/null & watch=$!
exec 3<&-
wait $qemu; status=$?
kill $watch 2>/dev/null
exit $status`

// errTaken is a port that another process took between our choice and QEMU's.
var errTaken = errors.New("the port is taken")

// start runs QEMU until the end of the test.
func (m machine) start(t testing.TB) (*Guest, error) {
	for try := 0; ; try++ {
		g, err := m.startOn(t)
		if errors.Is(err, errTaken) && try < 5 {
			continue
		}
		return g, err
	}
}

func (m machine) startOn(t testing.TB) (*Guest, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	sshPort, vncPort := ports[0], ports[1]
	g := &Guest{
		Host: "127.0.0.1", Port: sshPort, VNC: net.JoinHostPort("127.0.0.1", strconv.Itoa(vncPort)),
		dir: m.dir, Disk: m.overlay, SerialLog: filepath.Join(m.dir, "serial.log"),
	}
	// A Unix socket's path may have some hundred characters, which a test's
	// folder alone may have.
	sockets, err := os.MkdirTemp("", "guestrig")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	qmpSocket := filepath.Join(sockets, "qmp")

	args := []string{"-c", watched, "sh", "qemu-system-x86_64",
		"-accel", "tcg", "-cpu", "max", "-m", strconv.Itoa(m.memory), "-smp", strconv.Itoa(m.cpus),
		"-nodefaults", "-vga", "std", "-display", "none", "-vnc", fmt.Sprintf("127.0.0.1:%d", vncPort-vncBase),
		"-serial", "file:" + g.SerialLog,
		"-qmp", "unix:" + qmpSocket + ",server=on,wait=off",
		"-drive", "file=" + m.overlay + ",if=virtio,format=qcow2",
		"-netdev", fmt.Sprintf("user,id=net0,hostfwd=tcp:127.0.0.1:%d-:22", sshPort),
		"-device", "virtio-net-pci,netdev=net0,romfile=",
	}
	if m.efi {
		firmware, err := m.firmware()
		if err != nil {
			return nil, err
		}
		args = append(args, firmware...)
	}
	cmd := exec.Command("sh", append(args, m.args...)...)
	stderr, err := os.Create(g.file("stderr"))
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stdout, cmd.Stderr = stderr, stderr
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start qemu: %w", err)
	}
	exited := make(chan struct{})
	g.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // its output tells more than how it ended
	}()
	stop := func() {
		lifeline.Close()
		<-exited
	}
	t.Cleanup(stop)
	if g.QMP, err = connect(g, qmpSocket); err != nil {
		stop()
		if strings.Contains(tail(g.file("stderr")), "host forwarding rule") || strings.Contains(tail(g.file("stderr")), "Address already in use") {
			return nil, errTaken
		}
		return nil, err
	}
	t.Cleanup(g.QMP.Close)
	return g, nil
}

func connect(g *Guest, socket string) (*qmp.Client, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 30*time.Second, errors.New("qemu does not open its socket"))
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err == nil {
			return qmp.Open(ctx, conn, nil)
		}
		select {
		case <-g.exited:
			return nil, fmt.Errorf("qemu has ended: %s", tail(g.file("stderr")))
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// firmware gives the machine EFI firmware with variables of its own.
func (m machine) firmware() ([]string, error) {
	const folder = "/usr/share/OVMF/"
	vars, err := os.ReadFile(folder + "OVMF_VARS_4M.fd")
	if err != nil {
		return nil, err
	}
	own := filepath.Join(m.dir, "efivars.fd")
	if err := os.WriteFile(own, vars, 0o600); err != nil {
		return nil, err
	}
	return []string{
		"-machine", "q35",
		"-drive", "if=pflash,format=raw,readonly=on,file=" + folder + "OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,file=" + own,
	}, nil
}

// vncBase is the port of VNC display 0.
const vncBase = 5900

// freePorts returns so many different ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
