package component

import (
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// Connection is the communicator attributes that builders share: everything
// whose name starts with ssh_ or winrm_, and a few more. Builders embed it in
// their configuration struct and ConnectionAttributes in their schema.
type Connection struct {
	Communicator          string        `cty:"communicator"`
	PauseBeforeConnecting time.Duration `cty:"pause_before_connecting"`

	SSHHost                  string        `cty:"ssh_host"`
	SSHPort                  int           `cty:"ssh_port"`
	SSHUsername              string        `cty:"ssh_username"`
	SSHPassword              string        `cty:"ssh_password"`
	SSHKeypairName           string        `cty:"ssh_keypair_name"`
	TemporaryKeyPairName     string        `cty:"temporary_key_pair_name"`
	TemporaryKeyPairType     string        `cty:"temporary_key_pair_type"`
	TemporaryKeyPairBits     int           `cty:"temporary_key_pair_bits"`
	SSHCiphers               []string      `cty:"ssh_ciphers"`
	SSHClearAuthorizedKeys   bool          `cty:"ssh_clear_authorized_keys"`
	SSHKEXAlgos              []string      `cty:"ssh_key_exchange_algorithms"`
	SSHPrivateKeyFile        string        `cty:"ssh_private_key_file"`
	SSHCertificateFile       string        `cty:"ssh_certificate_file"`
	SSHPty                   bool          `cty:"ssh_pty"`
	SSHTimeout               time.Duration `cty:"ssh_timeout"`
	SSHWaitTimeout           time.Duration `cty:"ssh_wait_timeout"`
	SSHAgentAuth             bool          `cty:"ssh_agent_auth"`
	SSHDisableAgentForward   bool          `cty:"ssh_disable_agent_forwarding"`
	SSHAgentForwarding       bool          `cty:"ssh_agent_forwarding"`
	SSHHandshakeAttempts     int           `cty:"ssh_handshake_attempts"`
	SSHHostKey               []string      `cty:"ssh_host_key"`
	SSHHostKeyCheck          string        `cty:"ssh_host_key_check"`
	SSHKnownHostsFile        string        `cty:"ssh_known_hosts_file"`
	SSHBastionHost           string        `cty:"ssh_bastion_host"`
	SSHBastionPort           int           `cty:"ssh_bastion_port"`
	SSHBastionAgentAuth      bool          `cty:"ssh_bastion_agent_auth"`
	SSHBastionUsername       string        `cty:"ssh_bastion_username"`
	SSHBastionPassword       string        `cty:"ssh_bastion_password"`
	SSHBastionInteractive    bool          `cty:"ssh_bastion_interactive"`
	SSHBastionPrivateKeyFile string        `cty:"ssh_bastion_private_key_file"`
	SSHBastionCertFile       string        `cty:"ssh_bastion_certificate_file"`
	SSHFileTransferMethod    string        `cty:"ssh_file_transfer_method"`
	SSHProxyType             string        `cty:"ssh_proxy_type"`
	SSHProxyHost             string        `cty:"ssh_proxy_host"`
	SSHProxyPort             int           `cty:"ssh_proxy_port"`
	SSHProxyUsername         string        `cty:"ssh_proxy_username"`
	SSHProxyPassword         string        `cty:"ssh_proxy_password"`
	SSHKeepAliveInterval     time.Duration `cty:"ssh_keep_alive_interval"`
	SSHReadWriteTimeout      time.Duration `cty:"ssh_read_write_timeout"`
	SSHRemoteTunnels         []string      `cty:"ssh_remote_tunnels"`
	SSHLocalTunnels          []string      `cty:"ssh_local_tunnels"`
	SSHPublicKey             []byte        `cty:"ssh_public_key"`
	SSHPrivateKey            []byte        `cty:"ssh_private_key"`

	WinRMUser     string        `cty:"winrm_username"`
	WinRMPassword string        `cty:"winrm_password"`
	WinRMHost     string        `cty:"winrm_host"`
	WinRMNoProxy  bool          `cty:"winrm_no_proxy"`
	WinRMPort     int           `cty:"winrm_port"`
	WinRMTimeout  time.Duration `cty:"winrm_timeout"`
	WinRMUseSSL   bool          `cty:"winrm_use_ssl"`
	WinRMInsecure bool          `cty:"winrm_insecure"`
	WinRMUseNTLM  bool          `cty:"winrm_use_ntlm"`
	WinRMCertFile string        `cty:"winrm_cert_file"`
	WinRMKeyFile  string        `cty:"winrm_key_file"`
}

// Values of ssh_host_key_check.
const (
	// HostKeyAuto checks the key when it is known (ssh_host_key, the
	// builder, or a known_hosts file) and otherwise trusts the first key
	// seen for the rest of the build.
	HostKeyAuto = "auto"
	// HostKeyStrict refuses a host whose key is not known.
	HostKeyStrict = "strict"
	// HostKeyOff accepts any key, as Packer does.
	HostKeyOff = "off"
)

// Values of ssh_proxy_type.
const (
	ProxySOCKS5 = "socks5"
	ProxyHTTP   = "http"
)

// ConnectionAttributes describes Connection for a schema.
func ConnectionAttributes() []Attribute {
	secret := func(a Attribute) Attribute { a.Sensitive = true; return a }
	path := func(a Attribute) Attribute { a.Format = Path; return a }
	bytes := func(name, description string) Attribute {
		return Attribute{Name: name, Type: cty.List(cty.Number), Description: description}
	}
	return []Attribute{
		String("communicator", "How to reach the machine: ssh, winrm or none; some builders have more."),
		DurationAttr("pause_before_connecting", "", "Time to wait after the machine was first reached, before it is used."),

		String("ssh_host", "Address to connect to; usually the builder knows it."),
		Number("ssh_port", "Port to connect to. Default 22."),
		String("ssh_username", "User to log in as."),
		secret(String("ssh_password", "Password, also used for keyboard-interactive questions.")),
		String("ssh_keypair_name", "Name of a key pair that the provider already has."),
		String("temporary_key_pair_name", "Name for the key pair that is made for the build."),
		{Name: "temporary_key_pair_type", Type: cty.String, OneOf: []string{"rsa", "ecdsa", "ed25519", "dsa"}, Description: "Type of the key pair that is made for the build: ed25519, ecdsa or rsa. dsa is refused, since no current SSH server accepts it. Default ed25519."},
		Number("temporary_key_pair_bits", "Size of the key: for rsa 1024 to 16384, for ecdsa 256, 384 or 521; no meaning for ed25519. Default: 4096 for rsa and 521 for ecdsa."),
		Strings("ssh_ciphers", "Ciphers to offer instead of the default ones."),
		Bool("ssh_clear_authorized_keys", "Remove the temporary key from authorized_keys files after provisioning."),
		Strings("ssh_key_exchange_algorithms", "Key exchanges to offer instead of the default ones."),
		path(String("ssh_private_key_file", "Private key file, unencrypted.")),
		path(String("ssh_certificate_file", "OpenSSH certificate for the private key.")),
		Bool("ssh_pty", "Run commands in a terminal."),
		DurationAttr("ssh_timeout", "", "How long to wait until the machine can be used. Default 5m."),
		{Name: "ssh_wait_timeout", Type: cty.String, Format: Duration, Deprecated: "Use ssh_timeout.", Description: "Old name of ssh_timeout."},
		Bool("ssh_agent_auth", "Authenticate with the keys of the SSH agent."),
		Bool("ssh_disable_agent_forwarding", "Never forward the agent. It is off by default here; kept for templates that set it."),
		Bool("ssh_agent_forwarding", "Forward the SSH agent to the machine. Default false."),
		Number("ssh_handshake_attempts", "How many failed authentications to accept before giving up. Default 10."),
		Strings("ssh_host_key", "Public keys the host may have, in authorized_keys format."),
		{Name: "ssh_host_key_check", Type: cty.String, OneOf: []string{HostKeyAuto, HostKeyStrict, HostKeyOff}, Description: "Checking of host keys: auto (default) checks a key that is known and otherwise trusts the first one for the rest of the build; strict refuses unknown keys; off accepts any."},
		path(String("ssh_known_hosts_file", "known_hosts file to look up host keys in.")),
		String("ssh_bastion_host", "Host to connect through."),
		Number("ssh_bastion_port", "Port of the bastion. Default 22."),
		Bool("ssh_bastion_agent_auth", "Authenticate to the bastion with the SSH agent."),
		String("ssh_bastion_username", "User on the bastion."),
		secret(String("ssh_bastion_password", "Password for the bastion.")),
		Bool("ssh_bastion_interactive", "Ask at the terminal for what the bastion wants to know."),
		path(String("ssh_bastion_private_key_file", "Private key for the bastion. Default: the machine's.")),
		path(String("ssh_bastion_certificate_file", "Certificate for the bastion's key.")),
		{Name: "ssh_file_transfer_method", Type: cty.String, OneOf: []string{"scp", "sftp"}, Description: "How to copy files where the machine has no tar: scp (default) or sftp."},
		{Name: "ssh_proxy_type", Type: cty.String, OneOf: []string{ProxySOCKS5, ProxyHTTP}, Description: "What ssh_proxy_host speaks: socks5 (default), or http for a proxy that connects by the CONNECT method."},
		String("ssh_proxy_host", "Proxy to connect through."),
		Number("ssh_proxy_port", "Port of the proxy. Default 1080, or 3128 for an HTTP proxy."),
		String("ssh_proxy_username", "User for the proxy."),
		secret(String("ssh_proxy_password", "Password for the proxy.")),
		DurationAttr("ssh_keep_alive_interval", "", "Time between keep-alive messages; negative for none. Default 5s."),
		DurationAttr("ssh_read_write_timeout", "", "Longest time a read or write may take; 0 for no limit."),
		Strings("ssh_remote_tunnels", "Ports of the machine to forward to here, as PORT:HOST:PORT."),
		Strings("ssh_local_tunnels", "Local ports to forward through the machine, as PORT:HOST:PORT."),
		bytes("ssh_public_key", "Public key as bytes; set by builders."),
		secret(bytes("ssh_private_key", "Private key as bytes; set by builders.")),

		String("winrm_username", "User to log in as."),
		secret(String("winrm_password", "Password.")),
		String("winrm_host", "Address to connect to; usually the builder knows it."),
		Bool("winrm_no_proxy", "Connect without the proxy that the environment names."),
		Number("winrm_port", "Port to connect to. Default 5985, or 5986 with winrm_use_ssl."),
		DurationAttr("winrm_timeout", "", "How long to wait until the machine can be used. Default 30m."),
		Bool("winrm_use_ssl", "Use HTTPS."),
		Bool("winrm_insecure", "Do not check the server's certificate."),
		Bool("winrm_use_ntlm", "Authenticate with NTLM instead of Basic."),
		path(String("winrm_cert_file", "Log in with this client certificate, a PEM file that may hold the certificates of its issuers too, instead of a name and a password. It needs winrm_use_ssl.")),
		path(String("winrm_key_file", "Private key of winrm_cert_file, a PEM file without a passphrase. Default: the key is in winrm_cert_file.")),
	}
}

// Check finds what is wrong with the connection settings whatever the
// builder: conflicting and incomplete ones, and transports that the builder
// does not have. cfg is the configuration that c was decoded from, so
// that unknown values are not taken for missing ones.
func (c *Connection) Check(cfg cty.Value, transports ...string) diag.List {
	var out diag.List
	known := false
	for _, t := range transports {
		known = known || t == c.Communicator
	}
	switch {
	case known || !Known(cfg, "communicator"):
	default:
		out = append(out, diag.At("communicator", "Unknown communicator",
			"%q is not a communicator for this builder. Use one of: %s.", c.Communicator, quoteAll(transports))...)
	}
	conflict := func(a, b string) {
		if HasValue(cfg, a) && HasValue(cfg, b) {
			out = append(out, diag.At(b, "Conflicting settings", "%s and %s exclude each other. Remove one of them.", a, b)...)
		}
	}
	conflict("ssh_bastion_host", "ssh_proxy_host")
	if HasValue(cfg, "ssh_proxy_type") && !IsSet(cfg, "ssh_proxy_host") {
		out = append(out, diag.WarnAt("ssh_proxy_type", "Setting without effect",
			"There is no proxy. Set ssh_proxy_host, or remove ssh_proxy_type.")...)
	}
	if HasValue(cfg, "ssh_certificate_file") && !IsSet(cfg, "ssh_private_key_file") {
		out = append(out, diag.At("ssh_certificate_file", "Certificate without key",
			"ssh_certificate_file needs ssh_private_key_file, the key that was certified.")...)
	}
	byAgent := c.SSHBastionAgentAuth || !Known(cfg, "ssh_bastion_agent_auth")
	byHand := c.SSHBastionInteractive || !Known(cfg, "ssh_bastion_interactive")
	if HasValue(cfg, "ssh_bastion_host") && !IsSet(cfg, "ssh_bastion_password") && !IsSet(cfg, "ssh_bastion_private_key_file") &&
		!byAgent && !IsSet(cfg, "ssh_private_key_file") && !byHand {
		out = append(out, diag.At("ssh_bastion_host", "No credentials for the bastion",
			"Set one of ssh_bastion_password, ssh_bastion_private_key_file and ssh_bastion_agent_auth.")...)
	}
	return append(append(out, c.checkKeyPair(cfg)...), c.checkWinRMCertificate(cfg)...)
}

// checkWinRMCertificate finds settings that do not go with a client certificate.
func (c *Connection) checkWinRMCertificate(cfg cty.Value) diag.List {
	if !IsSet(cfg, "winrm_cert_file") {
		if HasValue(cfg, "winrm_key_file") {
			return diag.At("winrm_key_file", "Key without certificate", "winrm_key_file is used only with winrm_cert_file, the client certificate of that key.")
		}
		return nil
	}
	if !HasValue(cfg, "winrm_cert_file") {
		return nil
	}
	var out diag.List
	if !c.WinRMUseSSL && Known(cfg, "winrm_use_ssl") {
		out = append(out, diag.At("winrm_cert_file", "Client certificate without TLS",
			"A client certificate can be shown only over TLS. Set winrm_use_ssl = true.")...)
	}
	for _, other := range []string{"winrm_password", "winrm_use_ntlm"} {
		if HasValue(cfg, other) && (other != "winrm_use_ntlm" || c.WinRMUseNTLM) {
			out = append(out, diag.At(other, "Conflicting settings", "winrm_cert_file and %s are two ways to log in. Remove one of them.", other)...)
		}
	}
	return out
}

// Timeout is how long to wait for the machine.
func (c *Connection) Timeout() time.Duration {
	switch {
	case c.Communicator == "winrm" && c.WinRMTimeout > 0:
		return c.WinRMTimeout
	case c.Communicator == "winrm":
		return 30 * time.Minute
	case c.SSHWaitTimeout > 0:
		return c.SSHWaitTimeout
	case c.SSHTimeout > 0:
		return c.SSHTimeout
	}
	return 5 * time.Minute
}

// WinRMDefaultPort is the port to connect to when the builder knows no other.
func (c *Connection) WinRMDefaultPort() int {
	switch {
	case c.WinRMPort != 0:
		return c.WinRMPort
	case c.WinRMUseSSL:
		return 5986
	}
	return 5985
}

func quoteAll(words []string) string {
	out := ""
	for i, w := range words {
		if i > 0 {
			out += ", "
		}
		out += `"` + w + `"`
	}
	return out
}

// CommunicatorSchema describes the arguments of ConnectionAttributes that one
// communicator uses; false for one that Connection knows nothing of.
func CommunicatorSchema(name string) (Schema, bool) {
	about := map[string]string{
		"ssh":   "Connects over SSH, directly, through a bastion host or through a SOCKS5 or HTTP proxy. All commands and files go over one connection.",
		"winrm": "Connects over WinRM, the remote management of Windows. Files travel through PowerShell, large ones through several remote shells at a time, and are compared by their SHA-256 sums.",
		"none":  "Does not connect at all: there is no machine, or nothing to be done on it. Only local steps such as shell-local can be used.",
	}
	description, ok := about[name]
	out := Schema{Description: description}
	for _, a := range ConnectionAttributes() {
		ofKey := strings.HasPrefix(a.Name, "temporary_key_pair_")
		ofAll := a.Name == "pause_before_connecting"
		if strings.HasPrefix(a.Name, name+"_") || name == "ssh" && ofKey || name != "none" && ofAll {
			out.Attributes = append(out.Attributes, a)
		}
	}
	return out, ok
}
