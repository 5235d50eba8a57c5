package component

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Errors that communicators return, wrapped with what was being done.
var (
	// ErrDisconnected: the connection was lost while an operation was
	// running. Whether the operation took effect is not known.
	ErrDisconnected = errors.New("connection lost")
	// ErrUnsupported: the communicator does not do this at all (see Caps).
	ErrUnsupported = errors.New("not supported by this communicator")
)

// Communicator runs commands on a machine and moves files to and from it.
//
// Methods may be called from several goroutines. When ctx ends, a method
// stops promptly, ends the remote command where the transport can, and
// returns an error that wraps context.Cause(ctx). After Close every method
// fails.
//
// Errors are: ErrDisconnected, ErrUnsupported, fs.ErrNotExist (the remote
// path does not exist), fs.ErrPermission, the context's cause, or something
// else that is final. A command's exit code is a result and never an error.
type Communicator interface {
	// Run executes a command and waits for its end. All output has been
	// written when it returns. The exit code is never made up: when it is
	// not known, there is an error.
	Run(ctx context.Context, c Command) (Exit, error)

	// Put writes src to the remote file dst, creating or replacing it;
	// the folder must exist. The file has meta's mode afterwards. Exactly
	// src's bytes arrive, or there is an error.
	Put(ctx context.Context, dst string, src io.Reader, meta FileMeta) error

	// Get copies the remote file src to dst. A missing file is
	// fs.ErrNotExist.
	Get(ctx context.Context, src string, dst io.Writer) error

	// PutTree unpacks a tar stream below the remote folder dst, which is
	// made if it is missing. Existing files are replaced, others stay.
	PutTree(ctx context.Context, dst string, archive io.Reader) error

	// GetTree writes the contents of the remote folder src as a tar stream
	// with names relative to src. A missing folder is fs.ErrNotExist.
	GetTree(ctx context.Context, src string, archive io.Writer) error

	// Caps says what works. What is declared works; what is not declared
	// fails with ErrUnsupported.
	Caps() Caps

	io.Closer
}

// Finisher is implemented by a Communicator that has to tidy up on the machine
// when all provisioners have succeeded. Finish is called once, before the
// machine is captured; the communicator stays usable. An error does not fail
// the build.
type Finisher interface {
	Finish(ctx context.Context) error
}

// Accessible is implemented by a Communicator whose machine other programs can
// connect to on their own.
type Accessible interface {
	// Access says how the connection is made as of now.
	Access() (Access, error)
}

// Access is what another program needs to connect to a machine as a
// Communicator does. It holds secrets.
type Access struct {
	// Transport is "ssh" or "winrm".
	Transport string
	Host      string
	Port      int
	User      string
	// Through names what the way to the machine leads through, such as a
	// bastion host; empty when it is straight.
	Through string
	// Password, PrivateKey (not encrypted), Certificate (of the key; for SSH
	// in authorized_keys format, for WinRM in PEM, in which there may be more)
	// and AgentSocket (of an SSH agent) are what logs in; empty when not used.
	Password    string
	PrivateKey  []byte
	Certificate []byte
	AgentSocket string
	// HostKeys are the keys that the machine may have, in authorized_keys
	// format; empty when they are not to be checked.
	HostKeys []string
	// Ciphers and KeyExchanges are what SSH is to offer; empty for the
	// default.
	Ciphers, KeyExchanges []string
	// TLS, Insecure (no check of the certificate), NTLM (else Basic) and
	// NoProxy (pass over the proxy of the environment) are about WinRM.
	TLS, Insecure, NTLM, NoProxy bool
}

// RestartAware is implemented by a Communicator that knows one start of its
// machine from the next.
type RestartAware interface {
	// ExpectRestart says that a command that has ended may have made the
	// machine restart, whether or not the connection is lost by now. The next
	// operation first waits until the machine is there to stay: until it has
	// been started again, or is found not to be going down. It waits no
	// longer than the connection's time-out. Without a next operation nothing
	// waits, as when the machine has been turned off.
	ExpectRestart()
}

// Command is one command for a machine.
type Command struct {
	// Line is given to the machine's shell as it is.
	Line string
	// Stdin is the command's standard input; nil means an empty one.
	Stdin io.Reader
	// Stdout and Stderr receive output as it comes; nil discards it. With
	// PTY both streams arrive on Stdout.
	Stdout, Stderr io.Writer
	// PTY asks for a terminal.
	PTY bool
}

// Exit is how a command ended.
type Exit struct {
	// Code is the exit code; for a command ended by a signal it is what
	// the transport reports (POSIX shells: 128 plus the signal's number).
	Code int
	// Signal is the name of the signal that ended it, without "SIG", where
	// the transport tells.
	Signal string
}

// String returns "exit code N" or "signal NAME".
func (e Exit) String() string {
	if e.Signal != "" {
		return "signal " + e.Signal
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// FileMeta describes a file that is being uploaded.
type FileMeta struct {
	// Mode is the permission bits; 0 means 0644.
	Mode fs.FileMode
	// Size in bytes when known, else -1.
	Size int64
	// ModTime is kept where the transport can; zero means now.
	ModTime time.Time
}

// Shell is the kind of command line a machine understands.
type Shell uint8

// The shells.
const (
	POSIX Shell = iota + 1
	Cmd
	// PowerShell is what OpenSSH for Windows can be set up for.
	PowerShell
)

// Windows reports whether it is a shell of Windows.
func (s Shell) Windows() bool { return s == Cmd || s == PowerShell }

// Caps says what a communicator can do.
type Caps struct {
	// Run, Put, Get, Tree (PutTree and GetTree) and PTY are the operations
	// that work.
	Run, Put, Get, Tree, PTY bool
	// AlwaysPTY: every command gets a terminal, also without asking, so its
	// standard input is not safe for arbitrary bytes.
	AlwaysPTY bool
	// Shell is the language of Command.Line; 0 when Run is false.
	Shell Shell
	// Transport is the word for the connection that templates see as
	// build.ConnType: "ssh", "winrm", "docker", ...
	Transport string
}

// Endpoint is where and how to reach a machine.
type Endpoint struct {
	// Transport is "ssh", "winrm" or "none".
	Transport string
	Host      string
	Port      int
	// Connection holds the credentials and all other settings.
	Connection *Connection
	// HostKeys are public keys in authorized_keys format that the machine
	// is known to have; empty when the builder cannot know.
	HostKeys []string
	// Emulated says that the machine's processor is emulated by software, so
	// that encryption is to be chosen by what is cheap there.
	Emulated bool
}

// Dialer makes communicators of one transport.
type Dialer interface {
	// Dial waits until the machine can be used or the endpoint's time-out
	// passes. endpoint is asked again for every attempt. While it waits,
	// Dial emits Waiting events; when it gives up, the error names the
	// stage that never came true and what to check.
	Dial(ctx context.Context, r Run, endpoint func(context.Context) (Endpoint, error)) (Communicator, error)
}
