package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/net/proxy"

	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/retry"
)

// tcpKeepAlive is the operating system's interval; it keeps connections open
// in firewalls and finds dead ones where SSH keep-alives are turned off.
const tcpKeepAlive = 5 * time.Second

// dialFunc opens a stream to an address.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// route is the way to a machine: straight, through a proxy or through
// a bastion, whose connection it keeps.
type route struct {
	direct dialFunc

	mu      sync.Mutex // guards what follows
	bastion *link
}

// settings is what one attempt to connect is made with. It is worked out
// again for every attempt, because endpoints change.
type settings struct {
	address string // host:port of the machine
	creds   credentials
	known   []ssh.PublicKey
	keys    *hostKeys

	ciphers, kex []string
	ioLimit      time.Duration
	keepAlive    time.Duration

	proxyAddress string // empty for none
	proxyHTTP    bool   // an HTTP proxy; otherwise SOCKS5
	proxyLogin   *url.Userinfo

	bastionAddress string // empty for none
	bastionCreds   credentials
	bastionKeys    *hostKeys
}

// straight reports whether nothing is between here and the machine.
func (s *settings) straight() bool { return s.bastionAddress == "" && s.proxyAddress == "" }

// limits are how long the parts of one attempt may take.
type limits struct {
	tcp, handshake time.Duration
}

// open makes a stream to the machine's SSH port.
func (t *route) open(ctx context.Context, s *settings, w *readiness.Watch, limits limits) (net.Conn, error) {
	switch {
	case s.bastionAddress != "":
		return t.throughBastion(ctx, s, w, limits)
	case s.proxyAddress != "":
		w.Enter(stageTCP)
		ctx, cancel := context.WithTimeoutCause(ctx, limits.tcp, errSlow("proxy "+s.proxyAddress, limits.tcp))
		defer cancel()
		c, err := t.throughProxy(ctx, s)
		return c, because(ctx, err)
	}
	w.Enter(stageTCP)
	ctx, cancel := context.WithTimeoutCause(ctx, limits.tcp, errSlow("connecting to "+s.address, limits.tcp))
	defer cancel()
	c, err := t.direct(ctx, "tcp", s.address)
	return c, because(ctx, err)
}

// throughProxy makes a stream to the machine through the proxy.
func (t *route) throughProxy(ctx context.Context, s *settings) (net.Conn, error) {
	if s.proxyHTTP {
		return throughHTTP(ctx, t.direct, s.proxyAddress, s.proxyLogin, s.address)
	}
	var auth *proxy.Auth
	if s.proxyLogin != nil {
		password, _ := s.proxyLogin.Password()
		auth = &proxy.Auth{User: s.proxyLogin.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", s.proxyAddress, auth, forward{t.direct})
	if err != nil {
		return nil, fmt.Errorf("ssh: proxy %s: %w", s.proxyAddress, err)
	}
	c, err := d.(proxy.ContextDialer).DialContext(ctx, "tcp", s.address)
	if err != nil && (strings.HasSuffix(err.Error(), "authentication failed") || strings.HasSuffix(err.Error(), "no acceptable authentication methods")) {
		// The library has no better way to tell. It will not change its mind.
		return nil, final(fmt.Errorf("ssh: the SOCKS5 proxy %s does not accept ssh_proxy_username and ssh_proxy_password: %w", s.proxyAddress, err))
	}
	return c, err
}

// forward adapts a dialFunc to what the proxy package asks for.
type forward struct{ dial dialFunc }

func (f forward) Dial(network, address string) (net.Conn, error) {
	return f.dial(context.Background(), network, address)
}

func (f forward) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f.dial(ctx, network, address)
}

// throughBastion connects to the bastion, unless there is a connection
// already, and from there to the machine.
func (t *route) throughBastion(ctx context.Context, s *settings, w *readiness.Watch, limits limits) (net.Conn, error) {
	b, err := t.reachBastion(ctx, s, w, limits)
	if err != nil {
		return nil, err
	}
	w.Enter(stageTCP)
	ctx, cancel := context.WithTimeoutCause(ctx, limits.tcp, errSlow("connecting to "+s.address+" from the bastion", limits.tcp))
	defer cancel()
	c, err := b.client.DialContext(ctx, "tcp", s.address)
	if err != nil {
		var refused *ssh.OpenChannelError
		switch {
		case ctx.Err() != nil:
		case !errors.As(err, &refused):
			b.close() // it is broken: make sure that it is not used again
		case refused.Reason == ssh.Prohibited:
			// It will not change its mind.
			return nil, final(fmt.Errorf("ssh: the bastion %s does not let us connect to %s: %w; its server must allow forwarding (AllowTcpForwarding, PermitOpen), and a certificate must have permit-port-forwarding", s.bastionAddress, s.address, err))
		}
		return nil, fmt.Errorf("from the bastion %s: %w", s.bastionAddress, because(ctx, err))
	}
	return c, nil
}

func (t *route) reachBastion(ctx context.Context, s *settings, w *readiness.Watch, limits limits) (*link, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bastion != nil && t.bastion.alive() {
		return t.bastion, nil
	}
	w.Enter(stageBastion)
	v, err := s.bastionKeys.forHost(s.bastionAddress, nil, func(err error) { warn(w.Run(), err) })
	if err != nil {
		return nil, final(err)
	}
	tcp, cancel := context.WithTimeoutCause(ctx, limits.tcp, errSlow("connecting to the bastion "+s.bastionAddress, limits.tcp))
	conn, err := t.direct(tcp, "tcp", s.bastionAddress)
	err = because(tcp, err)
	cancel()
	if err != nil {
		return nil, err
	}
	// A person may have to type something.
	limit := limits.handshake
	if s.bastionCreds.ask != nil {
		limit = max(limit, 2*time.Minute)
	}
	h := handshake{address: s.bastionAddress, creds: &s.bastionCreds, verdict: v, settings: s, limit: limit, entered: func(int) {}}
	l, err := h.do(ctx, conn)
	var refused *AuthError
	if errors.As(err, &refused) {
		// The bastion is not being installed: it will not change its mind.
		return nil, final(fmt.Errorf("bastion: %w", err))
	}
	if err != nil {
		return nil, fmt.Errorf("bastion %s: %w", s.bastionAddress, err)
	}
	s.bastionKeys.trust(w.Run(), s.bastionAddress, v)
	l.keepAlive(s.keepAlive)
	t.bastion = l
	return l, nil
}

// close ends the connection to the bastion.
func (t *route) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bastion != nil {
		t.bastion.close()
		t.bastion = nil
	}
}

// slowError says that one step took longer than it may.
type slowError struct {
	what  string
	limit time.Duration
}

// errSlow is the cause of a context that limits one step.
func errSlow(what string, limit time.Duration) error { return slowError{what, limit} }

func (e slowError) Error() string {
	return fmt.Sprintf("%s took longer than %s", e.what, e.limit.Round(time.Millisecond))
}

func (slowError) RetryClass() retry.Class { return retry.Transient }

// because puts ctx's cause in place of an error that only says that ctx has
// ended.
func because(ctx context.Context, err error) error {
	// A connection that was given ctx's deadline may notice before ctx does.
	var late net.Error
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) && errors.As(err, &late) && late.Timeout() {
		<-ctx.Done()
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// joinHostPort is net.JoinHostPort for a number.
func joinHostPort(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// configure makes the settings of an attempt. Its errors are final.
func (d *dialer) configure(r component.Run, e component.Endpoint, pins *pins) (*settings, error) {
	c := e.Connection
	if c == nil {
		c = &component.Connection{}
	}
	if e.Host == "" {
		return nil, retry.As(retry.Transient, errors.New("the machine has no address yet"))
	}
	known, err := expected(append(append([]string{}, c.SSHHostKey...), e.HostKeys...))
	if err != nil {
		return nil, final(err)
	}
	if err := checkAlgorithms(c); err != nil {
		return nil, final(err)
	}
	port := e.Port
	if port == 0 {
		port = c.SSHPort
	}
	if port == 0 {
		port = 22
	}
	s := &settings{
		address: joinHostPort(e.Host, port), known: known,
		ciphers: c.SSHCiphers, kex: c.SSHKEXAlgos,
		ioLimit: c.SSHReadWriteTimeout, keepAlive: c.SSHKeepAliveInterval,
		creds: credentials{
			user: c.SSHUsername, password: c.SSHPassword, keyBytes: c.SSHPrivateKey,
			keyFile: expandHome(c.SSHPrivateKeyFile, d.deps.Home), keyName: "ssh_private_key_file",
			certFile: expandHome(c.SSHCertificateFile, d.deps.Home), certName: "ssh_certificate_file",
		},
	}
	if e.Emulated && len(s.ciphers) == 0 {
		s.ciphers = softCiphers()
	}
	if s.keepAlive == 0 {
		s.keepAlive = 5 * time.Second
	}
	if c.SSHAgentAuth {
		if s.creds.agent = d.deps.AgentSocket; s.creds.agent == "" {
			return nil, final(errors.New("ssh: ssh_agent_auth is set but there is no SSH agent; start one and set SSH_AUTH_SOCK"))
		}
	}
	pins.configure(c, d.deps.Home)
	s.keys, s.bastionKeys = &pins.machine, &pins.bastion
	if c.SSHProxyHost != "" {
		s.throughProxy(c)
	}
	if c.SSHBastionHost != "" {
		return s, d.bastion(r, c, s)
	}
	return s, nil
}

// softCiphers are the default ciphers, with the one first that is fast without
// a processor's help: an emulated processor without AES instructions does
// ChaCha20 several times faster than AES in GCM mode, and one with them no
// slower.
func softCiphers() []string {
	const first = ssh.CipherChaCha20Poly1305
	out := []string{first}
	for _, c := range ssh.SupportedAlgorithms().Ciphers {
		if c != first {
			out = append(out, c)
		}
	}
	return out
}

func (s *settings) throughProxy(c *component.Connection) {
	port := c.SSHProxyPort
	s.proxyHTTP = c.SSHProxyType == component.ProxyHTTP
	switch {
	case port == 0 && s.proxyHTTP:
		port = 3128
	case port == 0:
		port = 1080
	}
	s.proxyAddress = joinHostPort(c.SSHProxyHost, port)
	if c.SSHProxyUsername != "" || c.SSHProxyPassword != "" {
		s.proxyLogin = url.UserPassword(c.SSHProxyUsername, c.SSHProxyPassword)
	}
}

// bastion adds the way through the bastion.
func (d *dialer) bastion(r component.Run, c *component.Connection, s *settings) error {
	port := c.SSHBastionPort
	if port == 0 {
		port = 22
	}
	s.bastionAddress = joinHostPort(c.SSHBastionHost, port)
	b := credentials{
		user: c.SSHBastionUsername, password: c.SSHBastionPassword,
		keyFile: expandHome(c.SSHBastionPrivateKeyFile, d.deps.Home), keyName: "ssh_bastion_private_key_file",
		certFile: expandHome(c.SSHBastionCertFile, d.deps.Home), certName: "ssh_bastion_certificate_file",
	}
	if b.user == "" {
		b.user = c.SSHUsername
	}
	if b.keyFile == "" {
		b.keyFile, b.keyName = s.creds.keyFile, s.creds.keyName
		if b.certFile == "" {
			b.certFile, b.certName = s.creds.certFile, s.creds.certName
		}
	}
	if c.SSHBastionAgentAuth {
		if b.agent = d.deps.AgentSocket; b.agent == "" {
			return final(errors.New("ssh: ssh_bastion_agent_auth is set but there is no SSH agent; start one and set SSH_AUTH_SOCK"))
		}
	}
	if c.SSHBastionInteractive {
		if r.Prompt == nil || !r.Prompt.Interactive() {
			return final(errors.New("ssh: ssh_bastion_interactive is set but there is no terminal to ask at"))
		}
		b.ask = r.Prompt.Ask
	}
	s.bastionCreds = b
	return nil
}
