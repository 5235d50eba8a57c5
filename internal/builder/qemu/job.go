package qemu

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ingot/internal/component"
	"ingot/internal/fetch"
	"ingot/internal/fileserver"
	"ingot/internal/sshkey"
)

// job is one machine to be made.
type job struct {
	plan *plan
	host *host
	hw   hardware
	out  *output
	// conn is the template's settings with the key pair of the build.
	conn component.Connection
	// binary is the path of QEMU, accelerator what it is to use.
	binary, accelerator string
}

// FactNames implements component.FactNames.
func (j *job) FactNames() []string {
	if !j.plan.httpSettings.Enabled() {
		return []string{factID}
	}
	return []string{factID, factHTTPAddr, factHTTPIP, factHTTPPort}
}

// The facts that all builders with an HTTP server have.
const (
	factHTTPAddr = "PackerHTTPAddr"
	factHTTPIP   = "PackerHTTPIP"
	factHTTPPort = "PackerHTTPPort"
)

// DataNames implements component.DataNames.
func (j *job) DataNames() []string {
	return []string{dataDiskName, dataDiskPaths, dataDiskSize, dataDiskType, dataDomainType}
}

// ConnectsBy implements component.Connector.
func (j *job) ConnectsBy() string { return j.plan.Communicator }

// Creates implements component.Creator.
func (j *job) Creates() []component.Creation { return j.plan.creates() }

// Prepare implements component.Job. What takes long, or may be missing, comes
// after what is checked at once.
func (j *job) Prepare(ctx context.Context, r component.Run) error {
	// Nothing of an attempt before this one is there any more.
	j.hw = hardware{dir: r.WorkDir}
	p, hw := j.plan, &j.hw
	var err error
	if j.binary, err = findBinary(p.QemuBinary); err != nil {
		return err
	}
	if j.out, err = p.openOutput(ctx, r); err != nil {
		return err
	}
	if hw.image, err = fetch.Fetch(ctx, r, p.Spec()); err != nil {
		return err
	}
	if !p.DiskImage {
		hw.cdroms = append(hw.cdroms, hw.image)
	}
	if err := p.makeDisks(ctx, r, hw, j.out); err != nil {
		return err
	}
	if err := p.prepareFirmware(r, hw, ""); err != nil {
		return err
	}
	if err := j.makeKeyPair(r); err != nil {
		return err
	}
	return j.prepareSurroundings(ctx, r)
}

// prepareSurroundings makes the media of the template, starts its HTTP server and
// chooses the accelerator.
func (j *job) prepareSurroundings(ctx context.Context, r component.Run) error {
	p, hw := j.plan, &j.hw
	if err := p.makeMedia(ctx, r, hw); err != nil {
		return err
	}
	host, err := p.httpHost()
	if err != nil {
		return err
	}
	if hw.http, err = fileserver.Start(ctx, r, p.httpSettings, host); err != nil {
		return err
	}
	j.accelerator, err = j.chooseAccelerator(ctx, r)
	return err
}

// makeMedia makes the CD and the floppy disk of the template.
func (p *plan) makeMedia(ctx context.Context, r component.Run, hw *hardware) error {
	if p.HasCD() {
		r.Say("Making a CD...")
		path := filepath.Join(hw.dir, "cd.iso")
		if err := p.WriteCD(ctx, path); err != nil {
			return err
		}
		hw.cdroms = append(hw.cdroms, path)
	}
	if p.HasFloppy() {
		r.Say("Making a floppy disk...")
		hw.floppy = filepath.Join(hw.dir, "floppy.img")
		return p.WriteFloppy(ctx, hw.floppy)
	}
	return nil
}

func (j *job) makeKeyPair(r component.Run) error {
	j.conn = j.plan.Connection
	if !j.plan.makesKeyPair() {
		return nil
	}
	comment := j.conn.TemporaryKeyPairName
	if comment == "" {
		comment = "ingot-" + r.Template.BuildName
	}
	pair, err := sshkey.Generate(j.conn.TemporaryKeyPairType, j.conn.TemporaryKeyPairBits, comment)
	if err != nil {
		return err
	}
	j.conn.SSHPrivateKey, j.conn.SSHPublicKey = pair.Private, pair.Public
	return nil
}

// httpHost is the address that the HTTP server listens on unless the template
// says: what a machine in an emulated network asks for comes from QEMU.
func (p *plan) httpHost() (string, error) {
	if p.NetBridge == "" {
		return "127.0.0.1", nil
	}
	host, err := fileserver.InterfaceAddress(p.NetBridge)
	if err != nil {
		return "", fmt.Errorf("net_bridge: %w", err)
	}
	return host, nil
}

// gateway is the address by which a machine in the network that QEMU emulates
// reaches this computer.
const gateway = "10.0.2.2"

// httpIP is the address of the HTTP server as the machine sees it.
func (p *plan) httpIP(hw *hardware) string {
	if p.NetBridge == "" || hw.http == nil {
		return gateway
	}
	return hw.http.Addr().IP.String()
}

// Boot implements component.Job.
func (j *job) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	m, err := j.start(ctx, r, false)
	if err != nil {
		return nil, err
	}
	r.AtEnd(func() { m.leave(context.WithoutCancel(ctx)) })
	if err := m.showScreen(ctx, r); err != nil {
		return nil, err
	}
	return m, m.typeCommand(ctx, r)
}

// start starts QEMU, once more when something was in the way that need not be.
// Resumed says that it waits for the state of a saved one.
func (j *job) start(ctx context.Context, r component.Run, resumed bool) (*machine, error) {
	p := j.plan
	name := p.vmName(r.Template.BuildName)
	m := &machine{plan: p, job: j, hw: &j.hw, name: name, emulated: j.accelerator == accelTCG, conn: &j.conn}
	l := launch{name: name, accelerator: j.accelerator, vars: r.Template, guestPort: p.guestPort(), resumed: resumed}
	l.display = p.chooseDisplay(r, os.Getenv)
	if p.NetBridge != "" {
		l.mac = randomMAC()
	}
	var err error
	if p.QMPEnable {
		if l.userQMP, err = j.userSocket(r); err != nil {
			return nil, err
		}
	}
	m.host, m.port = p.fixedAddress()
	r.Say("Starting the machine " + name)
	for free := newPorts(p.HostPortMin, p.HostPortMax); ; {
		if p.forwards() {
			if l.hostPort, err = free.take(ctx); err != nil {
				return nil, err
			}
			m.port = l.hostPort
		}
		m.fields = j.fields(r, l)
		l.fields = m.fields
		// It ends with the QEMU that it was started for.
		if err := p.startTPM(ctx, r, &j.hw); err != nil {
			return nil, err
		}
		m.emulator, err = startEmulator(ctx, r, j.binary, func(qmp, console string) ([]string, error) {
			l.qmp, l.console = qmp, console
			return p.commandLine(&j.hw, l)
		})
		var failed *failedError
		switch {
		case err == nil:
			return m, nil
		case !errors.As(err, &failed):
			return nil, err
		case p.forwards() && portWasTaken(failed.said):
			// Somebody else was faster to take it.
		case p.Display == "" && l.display == defaultDisplay && strings.Contains(failed.said, defaultDisplay):
			r.Say("QEMU cannot open a window here, so the machine runs without one: " + failed.said)
			l.display = "none"
		default:
			return nil, err
		}
	}
}

// guestPort is the port that the machine's own server listens on.
func (p *plan) guestPort() int {
	switch {
	case p.Communicator == commWinRM:
		return p.WinRMDefaultPort()
	case p.SSHPort != 0:
		return p.SSHPort
	}
	return 22
}

// fixedAddress is where the machine is reached, as far as the template says. An
// empty host is found out while the machine runs.
func (p *plan) fixedAddress() (host string, port int) {
	host = p.SSHHost
	if p.Communicator == commWinRM {
		host = p.WinRMHost
	}
	if host == "" && p.NetBridge == "" {
		host = "127.0.0.1"
	}
	return host, p.guestPort()
}

// userSocket is the path of the socket for the user's own commands.
func (j *job) userSocket(r component.Run) (string, error) {
	path := j.plan.QMPSocketPath
	if path == "" {
		path = filepath.Join(j.plan.outputDir(r.Template.BuildName), j.plan.vmName(r.Template.BuildName)+".monitor")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("qmp_socket_path: %w", err)
	}
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("qmp_socket_path: the path of a socket has at most %d characters, %s has %d: set a shorter one", maxSocketPath, path, len(path))
	}
	return path, nil
}

// fields are what actions in qemuargs and boot_command can name.
func (j *job) fields(r component.Run, l launch) map[string]string {
	p := j.plan
	port := ""
	if j.hw.http != nil {
		port = strconv.Itoa(j.hw.http.Port())
	}
	return map[string]string{
		"HTTPIP": p.httpIP(&j.hw), "HTTPPort": port, "HTTPDir": p.HTTPDirectory,
		"Name": l.name, "OutputDir": p.outputDir(r.Template.BuildName),
		"SSHHostPort": strconv.Itoa(l.hostPort), "HostPort": strconv.Itoa(l.hostPort),
		"SSHPublicKey": url.QueryEscape(strings.TrimSpace(string(j.conn.SSHPublicKey))),
	}
}

// Capture implements component.Job.
func (j *job) Capture(ctx context.Context, r component.Run, m component.Machine) (*component.Artifact, error) {
	return j.plan.capture(ctx, r, &j.hw, j.accelerator, j.out)
}
