package ansible

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
	"ingot/internal/sshfront"
	"ingot/internal/sshkey"
)

// way is how Ansible reaches the machine.
type way struct {
	host string
	port int
	user string
	// connection are variables of Ansible about the connection. They may
	// hold secrets. For an inventory of the user's, foreign are used.
	connection, foreign map[string]any
	// noProxy: the proxy of the environment is not to be used.
	noProxy bool
	front   *sshfront.Server // nil for a direct connection
}

// close ends the local SSH server.
func (w *way) close() {
	if w.front != nil {
		w.front.Close()
	}
}

// lost is why the build's own connection failed under the local SSH server.
func (w *way) lost() error {
	if w.front == nil {
		return nil
	}
	return w.front.Lost()
}

// reach decides how Ansible connects, and prepares that.
func (s *step) reach(ctx context.Context, t component.Target, dir string) (*way, error) {
	var access component.Access
	obstacle := fmt.Sprintf("the machine is reached by %q, which Ansible does not know", t.Comm.Caps().Transport)
	if c, ok := t.Comm.(component.Accessible); ok {
		var err error
		if access, err = c.Access(); err != nil {
			return nil, err
		}
		obstacle = obstacleTo(access)
	}
	switch {
	case access.Transport == "winrm" && s.UseProxy != nil && *s.UseProxy:
		return nil, fmt.Errorf("use_proxy = true, but there is no way around WinRM through SSH; remove use_proxy")
	case access.Transport == "winrm":
		return s.winrm(access, dir)
	case s.UseProxy != nil && !*s.UseProxy && obstacle != "":
		return nil, fmt.Errorf("use_proxy = false, but there is no direct way: %s", obstacle)
	case obstacle == "" && (s.UseProxy == nil || !*s.UseProxy):
		t.Say(fmt.Sprintf("Ansible connects to %s as %s.", joinHostPort(access.Host, access.Port), s.userOr(access.User)))
		return s.direct(t.Comm.Caps(), access, dir)
	}
	if obstacle == "" {
		obstacle = "use_proxy = true"
	}
	t.Say(fmt.Sprintf("Ansible connects through a local SSH server (%s).", obstacle))
	return s.proxied(ctx, t, dir)
}

// obstacleTo says why others cannot connect as the build does; "" if they can.
func obstacleTo(a component.Access) string {
	switch {
	case a.Transport == "winrm":
		return ""
	case a.Transport != "ssh":
		return fmt.Sprintf("the machine is reached by %q, which Ansible does not know", a.Transport)
	case a.Through != "":
		return "the way to the machine leads through " + a.Through
	case len(a.PrivateKey) == 0 && a.AgentSocket == "":
		return "the login is made without a key"
	}
	return ""
}

func (s *step) userOr(user string) string {
	if s.User != "" {
		return s.User
	}
	return user
}

// direct lets Ansible's SSH client connect to the machine itself.
func (s *step) direct(caps component.Caps, a component.Access, dir string) (*way, error) {
	w := &way{host: a.Host, port: a.Port, user: s.userOr(a.User)}
	if err := w.useSSH(a, dir); err != nil {
		return nil, err
	}
	if caps.Shell.Windows() {
		w.connection["ansible_shell_type"] = "cmd"
		w.foreign["ansible_shell_type"] = "cmd"
	}
	return w, nil
}

// winrm lets Ansible connect to WinRM.
func (s *step) winrm(a component.Access, dir string) (*way, error) {
	scheme, transport, validation := "http", "basic", "validate"
	if a.TLS && !s.WinRMUseHTTP {
		scheme = "https"
	}
	if a.NTLM {
		transport = "ntlm"
	}
	if a.Insecure {
		validation = "ignore"
	}
	secrets := map[string]any{"ansible_password": a.Password}
	if len(a.Certificate) > 0 {
		transport = "certificate"
		certificate, key := filepath.Join(dir, "client.pem"), filepath.Join(dir, "client-key.pem")
		if err := errors.Join(os.WriteFile(certificate, a.Certificate, 0o600), os.WriteFile(key, a.PrivateKey, 0o600)); err != nil {
			return nil, fmt.Errorf("write the client certificate: %w", err)
		}
		secrets = map[string]any{"ansible_winrm_cert_pem": certificate, "ansible_winrm_cert_key_pem": key}
	}
	vars := map[string]any{
		"ansible_connection": "winrm", "ansible_shell_type": "powershell", "ansible_winrm_scheme": scheme,
		"ansible_winrm_transport": transport, "ansible_winrm_server_cert_validation": validation,
	}
	maps.Copy(vars, secrets)
	return &way{host: a.Host, port: a.Port, user: s.userOr(a.User), connection: vars, foreign: secrets, noProxy: a.NoProxy}, nil
}

// proxied starts a local SSH server in front of the build's connection.
func (s *step) proxied(ctx context.Context, t component.Target, dir string) (*way, error) {
	if t.Comm.Caps().Shell != component.POSIX {
		return nil, fmt.Errorf("the local SSH server needs a machine with a POSIX shell: %w", component.ErrUnsupported)
	}
	host, err := s.hostKey()
	if err != nil {
		return nil, err
	}
	client, private, err := s.clientKey()
	if err != nil {
		return nil, err
	}
	user, err := remoteUser(ctx, t.Comm)
	if err != nil {
		return nil, err
	}
	front, err := sshfront.Start(ctx, t.Comm, sshfront.Options{
		HostKey: host, ClientKey: client, Ports: s.ports(), Dir: dir, SFTPCommand: s.SFTPCommand,
		HandshakeFailed: func(err error) { t.Emit(component.Trace{Text: fmt.Sprintf("local SSH server: %v", err)}) },
	})
	if err != nil {
		return nil, fmt.Errorf("start the local SSH server: %w", err)
	}
	w := &way{host: "127.0.0.1", port: front.Port(), user: s.userOr(user), front: front}
	a := component.Access{Host: w.host, Port: w.port, PrivateKey: private, HostKeys: []string{front.HostKey()}}
	if private == nil {
		a.AgentSocket = os.Getenv("SSH_AUTH_SOCK")
	}
	if err := w.useSSH(a, dir); err != nil {
		front.Close()
		return nil, err
	}
	return w, nil
}

// remoteUser asks the machine as whom commands run: Ansible compares that to
// the user that a task is to become.
func remoteUser(ctx context.Context, comm component.Communicator) (string, error) {
	var out bytes.Buffer
	exit, err := comm.Run(ctx, component.Command{Line: "id -un 2>/dev/null || whoami", Stdout: &out})
	if err != nil {
		return "", fmt.Errorf("ask the machine for its user: %w", err)
	}
	if name := strings.TrimSpace(out.String()); exit.Code == 0 && name != "" && !strings.ContainsAny(name, " \n") {
		return name, nil
	}
	return "root", nil // a system without these commands hardly has users
}

func (s *step) hostKey() (ssh.Signer, error) {
	if s.HostKeyFile == "" {
		key, _, err := s.newKey()
		return key, err
	}
	text, err := os.ReadFile(s.HostKeyFile)
	if err != nil {
		return nil, fmt.Errorf("ssh_host_key_file: %w", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("ssh_host_key_file %s: %w", s.HostKeyFile, err)
	}
	return key, nil
}

// clientKey is the public key that may log in, with the private one unless
// the user has it.
func (s *step) clientKey() (ssh.PublicKey, []byte, error) {
	if s.AuthorizedKeyFile == "" {
		key, private, err := s.newKey()
		if err != nil {
			return nil, nil, err
		}
		return key.PublicKey(), private, nil
	}
	text, err := os.ReadFile(s.AuthorizedKeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("ssh_authorized_key_file: %w", err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, nil, fmt.Errorf("ssh_authorized_key_file %s: %w", s.AuthorizedKeyFile, err)
	}
	return key, nil, nil
}

// newKey makes a key of the type that the user wants.
func (s *step) newKey() (ssh.Signer, []byte, error) {
	pair, err := sshkey.Generate(strings.ToLower(s.ProxyKeyType), 0, "")
	if err != nil {
		return nil, nil, err
	}
	key, err := ssh.ParsePrivateKey(pair.Private)
	if err != nil {
		return nil, nil, fmt.Errorf("read a key that was just made: %w", err)
	}
	return key, pair.Private, nil
}

// hostKeyAlias is the name under which the machine's key is known, whatever
// its address.
const hostKeyAlias = "ingot-machine"

// useSSH writes what OpenSSH has to know into private files. Two
// configurations are made: one for the machine only, which takes nothing from
// the user's own, and one that also suits other hosts of a user's inventory.
func (w *way) useSSH(a component.Access, dir string) error {
	files := map[string][]byte{}
	var common, own, foreign []string
	identity := "no"
	if len(a.PrivateKey) > 0 {
		files["key"] = append(bytes.TrimRight(a.PrivateKey, "\n"), '\n')
		common = append(common, "IdentityFile "+sshPath(filepath.Join(dir, "key")))
		identity = "yes"
		if len(a.Certificate) > 0 {
			files["key-cert.pub"] = a.Certificate
			common = append(common, "CertificateFile "+sshPath(filepath.Join(dir, "key-cert.pub")))
		}
	}
	if a.AgentSocket != "" {
		common = append(common, "IdentityAgent "+sshPath(a.AgentSocket))
		identity = "no"
	}
	common = append(common, "IdentitiesOnly "+identity)
	if len(a.Ciphers) > 0 {
		common = append(common, "Ciphers "+strings.Join(a.Ciphers, ","))
	}
	if len(a.KeyExchanges) > 0 {
		common = append(common, "KexAlgorithms "+strings.Join(a.KeyExchanges, ","))
	}
	own = append(own, "HostKeyAlias "+hostKeyAlias, "UpdateHostKeys no", "LogLevel ERROR")
	if len(a.HostKeys) > 0 {
		var known, anywhere strings.Builder
		for _, k := range a.HostKeys {
			known.WriteString(hostKeyAlias + " " + k + "\n")
			anywhere.WriteString("* " + k + "\n")
		}
		files["known_hosts"], files["known_anywhere"] = []byte(known.String()), []byte(anywhere.String())
		own = append(own, "StrictHostKeyChecking yes", "GlobalKnownHostsFile /dev/null", "UserKnownHostsFile "+sshPath(filepath.Join(dir, "known_hosts")))
		foreign = append(foreign, "StrictHostKeyChecking yes", "UserKnownHostsFile "+sshPath(filepath.Join(dir, "known_anywhere"))+" ~/.ssh/known_hosts")
	} else {
		off := []string{"StrictHostKeyChecking no", "UserKnownHostsFile /dev/null"}
		own, foreign = append(own, off...), append(foreign, off...)
	}
	ownFile, foreignFile := filepath.Join(dir, "ssh_config"), filepath.Join(dir, "ssh_config_foreign")
	files["ssh_config"] = []byte("Host *\n  " + strings.Join(append(own, common...), "\n  ") + "\n")
	files["ssh_config_foreign"] = []byte("Host *\n  " + strings.Join(append(foreign, common...), "\n  ") + "\n")
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return fmt.Errorf("write what SSH has to know: %w", err)
		}
	}
	w.connection = sshVars(ownFile, len(a.HostKeys) > 0)
	w.connection["ansible_connection"] = "ssh"
	w.foreign = sshVars(foreignFile, len(a.HostKeys) > 0)
	return nil
}

// sshVars tell Ansible to use a configuration of OpenSSH.
func sshVars(file string, checked bool) map[string]any {
	return map[string]any{
		"ansible_ssh_common_args":   "-F '" + strings.ReplaceAll(file, "'", `'"'"'`) + "'",
		"ansible_host_key_checking": checked,
	}
}

// sshPath is a path as OpenSSH's configuration reads it.
func sshPath(path string) string { return `"` + strings.ReplaceAll(path, "%", "%%") + `"` }
