//go:build unix

package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"ingot/internal/comm/ssh"
	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/retry"
	"ingot/internal/testkit/sshd"
)

// freeAddress is where nothing listens.
func freeAddress(t testing.TB) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr)
}

func TestWaitsUntilTheServerIsStarted(t *testing.T) {
	free := freeAddress(t)
	asked := 0
	a := hasty(t)
	c := a.mustDial(t, func(context.Context) (component.Endpoint, error) {
		if asked++; asked == 4 {
			sshd.StartAt(t, free.String(), sshd.Options{})
		}
		return component.Endpoint{Host: "127.0.0.1", Port: free.Port}, nil
	})
	works(t, c)
	text := strings.Join(a.log.waits(), "\n")
	contains(t, text, "address of the machine: \n", "tcp "+free.String()+": ", "connection refused", "ssh banner", "ssh authentication", "ssh session")
	if n := strings.Count(text, "connection refused"); n != 1 {
		t.Errorf("the same failure is told %d times:\n%s", n, text)
	}
	for i := 1; i < len(a.clock.slept); i++ {
		if d := a.clock.slept[i]; d < a.clock.slept[i-1] || d > time.Second {
			t.Errorf("the delays are %v", a.clock.slept)
		}
	}
	if a.clock.slept[0] != 20*time.Millisecond {
		t.Errorf("the first delay is %v", a.clock.slept[0])
	}
}

func TestAddressesMayComeLateAndChange(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	old := freeAddress(t)
	asked := 0
	a := hasty(t)
	works(t, a.mustDial(t, func(context.Context) (component.Endpoint, error) {
		asked++
		switch {
		case asked < 3:
			return component.Endpoint{}, retry.As(retry.Transient, errors.New("no lease yet"))
		case asked < 5:
			return component.Endpoint{Host: "127.0.0.1", Port: old.Port}, nil
		}
		return component.Endpoint{Host: s.Host(), Port: s.Port()}, nil
	}))
	contains(t, strings.Join(a.log.waits(), "\n"), "address of the machine: no lease yet", "tcp "+old.String(), s.Addr())
}

func TestEndpointErrorIsFinal(t *testing.T) {
	broken := errors.New("the machine is gone")
	asked := 0
	_, err := hasty(t).dial(t, func(context.Context) (component.Endpoint, error) {
		asked++
		return component.Endpoint{}, broken
	})
	if !errors.Is(err, broken) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// TestTimeOutNamesTheStage: the error says what never came true and what to
// check.
func TestTimeOutNamesTheStage(t *testing.T) {
	free := freeAddress(t)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	silent := sshd.Start(t, sshd.Options{Connected: func(int, net.Conn) bool { return false }})
	strange := sshd.Start(t, sshd.Options{Ciphers: []string{"aes256-ctr"}})
	refusing := sshd.Start(t, sshd.Options{Password: "secret"})
	mute := sshd.Start(t, sshd.Options{Exec: func(c *sshd.Call) sshd.Status {
		<-c.Context.Done()
		return sshd.Status{None: true}
	}})
	for name, c := range map[string]struct {
		where endpoint
		real  bool // the waiting happens in the network
		want  []string
	}{
		"address": {func(context.Context) (component.Endpoint, error) {
			return component.Endpoint{}, retry.As(retry.Transient, errors.New("no lease yet"))
		}, false, []string{"waiting for the address of the machine", "after 5m", "no lease yet", "boots"}},
		"tcp":            {at("127.0.0.1", free.Port, component.Connection{SSHTimeout: time.Minute}), false, []string{"after 1m", "tcp " + free.String(), "connection refused", "firewall", "ssh_timeout"}},
		"banner":         {at(silent.Host(), silent.Port(), component.Connection{SSHTimeout: 300 * time.Millisecond}), true, []string{"ssh banner of " + silent.Addr(), "took longer", "no SSH server answers"}},
		"host key":       {at(strange.Host(), strange.Port(), component.Connection{SSHTimeout: time.Second, SSHCiphers: []string{"aes128-ctr"}}), false, []string{"ssh host key of", "no common algorithm", "ssh_ciphers"}},
		"authentication": {at(refusing.Host(), refusing.Port(), component.Connection{SSHTimeout: time.Minute, SSHUsername: "me", SSHPassword: "wrong"}), false, []string{"ssh authentication at", `as "me"`, "tried: password", "offers: password", "ssh_username"}},
		"session":        {at(mute.Host(), mute.Port(), component.Connection{SSHTimeout: 600 * time.Millisecond}), true, []string{"ssh session on", "the user's shell"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := hasty(t)
			if c.real {
				a = patient(t)
			}
			_, err := a.dial(t, c.where)
			var w *readiness.TimeoutError
			if !errors.As(err, &w) || w.Attempts == 0 || w.Last == nil {
				t.Fatalf("got %v", err)
			}
			contains(t, err.Error(), append(c.want, "timed out", "attempts")...)
			if retry.ClassOf(err) != retry.Transient {
				t.Errorf("class %v", retry.ClassOf(err))
			}
		})
	}
}

func TestDialCanBeCancelled(t *testing.T) {
	silent := sshd.Start(t, sshd.Options{Connected: func(int, net.Conn) bool { return false }})
	free := freeAddress(t)
	for name, where := range map[string]endpoint{
		"refused": at("127.0.0.1", free.Port, component.Connection{}),
		"silent":  to(silent, component.Connection{}),
		"no address": func(ctx context.Context) (component.Endpoint, error) {
			<-ctx.Done()
			return component.Endpoint{}, context.Cause(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			enough := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			a := patient(t)
			a.run.Events = component.SinkFunc(func(e component.Event) {
				if w, ok := e.(component.Waiting); ok && (strings.Contains(w.Detail, "refused") || strings.Contains(w.For, "banner") || name == "no address") {
					cancel(enough)
				}
			})
			_, err := ssh.NewDialer(a.deps).Dial(ctx, a.run, where)
			if !errors.Is(err, enough) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPauseBeforeConnecting(t *testing.T) {
	a := hasty(t)
	address := freeAddress(t).String()
	first := sshd.StartAt(t, address, sshd.Options{})
	pause := component.Connection{PauseBeforeConnecting: 7 * time.Minute}
	var second *sshd.Server
	asked := 0
	c := a.mustDial(t, func(context.Context) (component.Endpoint, error) {
		// The machine starts again during the pause, with another key.
		if asked++; asked == 2 {
			first.Stop()
			second = sshd.StartAt(t, address, sshd.Options{})
		}
		return component.Endpoint{Host: first.Host(), Port: first.Port(), Connection: &pause}, nil
	})
	works(t, c)
	if len(a.clock.slept) != 1 || a.clock.slept[0] != 7*time.Minute || first.Logins() != 1 || second.Logins() != 1 {
		t.Errorf("slept %v, logins %d and %d", a.clock.slept, first.Logins(), second.Logins())
	}
	contains(t, strings.Join(a.log.messages(), "\n"), "Pausing 7m0s", second.Fingerprint())
}

func TestUnknownAlgorithmsAreNamed(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	for attr, c := range map[string]component.Connection{
		"ssh_ciphers":                 {SSHCiphers: []string{"rot13"}},
		"ssh_key_exchange_algorithms": {SSHKEXAlgos: []string{"rot13"}},
	} {
		_, err := hasty(t).dial(t, to(s, c))
		if err == nil {
			t.Fatalf("%s: no error", attr)
		}
		contains(t, err.Error(), attr, `"rot13"`, "use any of")
	}
	if s.Connections() != 0 {
		t.Error("the server was asked all the same")
	}
}

func TestAlgorithmsAreUsed(t *testing.T) {
	s := sshd.Start(t, sshd.Options{Ciphers: []string{"aes256-ctr"}, KeyExchanges: []string{"diffie-hellman-group16-sha512"}})
	works(t, hasty(t).mustDial(t, to(s, component.Connection{SSHCiphers: []string{"aes128-ctr", "aes256-ctr"}, SSHKEXAlgos: []string{"diffie-hellman-group16-sha512"}})))
}

// TestCipherForAnEmulatedMachine: it is one that needs no help of the
// processor, unless the user has chosen.
func TestCipherForAnEmulatedMachine(t *testing.T) {
	for name, c := range map[string]struct {
		emulated bool
		chosen   []string
		offered  []string
		want     string
	}{
		"real":                 {false, nil, nil, "aes128-gcm@openssh.com"},
		"emulated":             {true, nil, nil, "chacha20-poly1305@openssh.com"},
		"emulated, chosen":     {true, []string{"aes256-ctr"}, nil, "aes256-ctr"},
		"emulated, an old one": {true, nil, []string{"aes128-ctr"}, "aes128-ctr"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sshd.Start(t, sshd.Options{Ciphers: c.offered})
			comm := hasty(t).mustDial(t, func(context.Context) (component.Endpoint, error) {
				return component.Endpoint{Host: s.Host(), Port: s.Port(), Emulated: c.emulated, Connection: &component.Connection{SSHCiphers: c.chosen}}, nil
			})
			works(t, comm)
			if got := ssh.Cipher(comm); got != c.want {
				t.Errorf("the cipher is %s, want %s", got, c.want)
			}
		})
	}
}

func TestShellIsFoundOut(t *testing.T) {
	answer := func(want component.Shell, words ...string) (sshd.Options, component.Shell) {
		return sshd.Options{Exec: func(c *sshd.Call) sshd.Status {
			for i := 0; i+1 < len(words); i += 2 {
				if strings.Contains(c.Line, words[i]) {
					_, _ = fmt.Fprint(c.Stdout, words[i+1])
					return sshd.Status{}
				}
			}
			return sshd.Status{Code: 1}
		}}, want
	}
	check := func(name string, o sshd.Options, want component.Shell) {
		t.Run(name, func(t *testing.T) {
			c := hasty(t).mustDial(t, to(sshd.Start(t, o), component.Connection{}))
			if got := c.Caps().Shell; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	o, want := answer(component.POSIX, "posix", "welcome to the machine\r\ningot-tar-posix\r\n")
	check("a shell with a greeting", o, want)
	o, want = answer(component.POSIX, "posix", "", "echo", "ingot\n")
	check("csh", o, want)
	o, want = answer(component.Cmd, "posix", "'x' is not recognized as an internal or external command", "ver", "Microsoft Windows [Version 10.0]")
	check("cmd", o, want)
	o, want = answer(component.Cmd, "posix", "")
	o.Version = "SSH-2.0-OpenSSH_for_Windows_9.5"
	check("OpenSSH for Windows", o, want)
	o, want = answer(component.PowerShell, "posix", "", "ComSpec", "C:\\Windows\\system32\\cmd.exe\r\n%ComSpec%\r\n")
	o.Version = "SSH-2.0-OpenSSH_for_Windows_9.5"
	check("PowerShell", o, want)
	o, want = answer(component.Cmd, "posix", "", "ComSpec", "$env:ComSpec C:\\Windows\\system32\\cmd.exe\r\n")
	o.Version = "SSH-2.0-OpenSSH_for_Windows_9.5"
	check("cmd of Windows", o, want)
}

func TestNoTerminal(t *testing.T) {
	s := sshd.Start(t, sshd.Options{NoPTY: true})
	_, err := hasty(t).dial(t, to(s, component.Connection{SSHPty: true}))
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), "ssh_pty")
	c := hasty(t).mustDial(t, to(s, component.Connection{}))
	if c.Caps().PTY {
		t.Error("a terminal is declared")
	}
}

func TestAlwaysTerminal(t *testing.T) {
	s := sshd.Start(t, sshd.Options{})
	c := hasty(t).mustDial(t, to(s, component.Connection{SSHPty: true}))
	var out lockedBuffer
	if _, err := c.Run(t.Context(), component.Command{Line: "test -t 0 && test -t 1 && cat", Stdin: strings.NewReader("no end"), Stdout: &out}); err != nil || out.line() != "no end" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if caps := c.Caps(); !caps.PTY || !caps.AlwaysPTY {
		t.Errorf("got %+v", caps)
	}
	// Files must not pass a terminal, which changes them.
	if err := c.Put(t.Context(), t.TempDir()+"/f", strings.NewReader("a\x04b\r\n"), component.FileMeta{}); err != nil {
		t.Error(err)
	}
}
