//go:build unix

// Rogue is a Packer plugin for tests that misbehaves as ROGUE says: a word for what it
// does when it starts, or WORD:METHOD for what it does when a method is called.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ingot/internal/plugin/packerwire"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "describe" {
		fmt.Println(`{"version":"1.0.0","sdk_version":"none","api_version":"x5.0","builders":["b"],"post_processors":["pp"],"provisioners":["p"],"datasources":["d"],"protocol_version":"v2"}`)
		return
	}
	word, method, _ := strings.Cut(os.Getenv("ROGUE"), ":")
	if os.Getenv(packerwire.CookieVariable) != packerwire.CookieValue || word == "cookie" {
		fmt.Fprintln(os.Stderr, "this is a plugin and not to be run by hand")
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "rogue is", os.Getenv("ROGUE"))
	if misbehaveAtOnce(word) {
		return
	}
	r := &rogue{word: word, method: method, kind: os.Args[2]}
	if err := r.serve(); err != nil {
		fmt.Fprintln(os.Stderr, "rogue:", err)
		os.Exit(1)
	}
	if word == "linger" {
		forever()
	}
}

// forever does nothing until it is killed.
func forever() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	for {
		time.Sleep(time.Hour)
	}
}

// misbehaveAtOnce does what is wrong from the start, if that is asked for.
func misbehaveAtOnce(word string) bool {
	switch word {
	case "exit":
		fmt.Fprintln(os.Stderr, "no license for this plugin")
		os.Exit(3)
	case "silent":
		forever()
	case "garbage":
		fmt.Println("Hello, I am a plugin")
		forever()
	case "old":
		fmt.Println("4|unix|/tmp/x")
		forever()
	case "newer":
		fmt.Println("5|7|unix|/tmp/x")
		forever()
	case "endless":
		line := strings.Repeat("x", 64<<10)
		for {
			if _, err := os.Stdout.WriteString(line); err != nil {
				return true
			}
		}
	case "nowhere":
		fmt.Println("5|0|unix|/nonexistent/socket")
		forever()
	case "zombie":
		leaveChild()
		os.Exit(4)
	}
	return false
}

// leaveChild starts a program that does not end with this one and holds its output.
func leaveChild() {
	child := exec.Command("sleep", "1000")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		panic(err)
	}
}

// rogue is a plugin process at work.
type rogue struct {
	word, method, kind string
	conn               *packerwire.Conn
}

// serve says where it listens and serves the component on the one connection.
func (r *rogue) serve() error {
	dir, err := os.MkdirTemp("", "rogue")
	if err != nil {
		return err
	}
	h := packerwire.Handshake{Major: packerwire.APIMajor, Network: "unix", Address: filepath.Join(dir, "s")}
	l, err := net.Listen(h.Network, h.Address)
	if err != nil {
		return err
	}
	fmt.Println(h)
	switch r.word {
	case "twice":
		fmt.Println(h)
	case "stray":
		for range 1000 {
			fmt.Println("a line that nobody wants | 5|0|tcp|127.0.0.1:1")
		}
	}
	c, err := l.Accept()
	// Now: whoever is killed later leaves nothing behind.
	if err := errors.Join(err, l.Close(), os.RemoveAll(dir)); err != nil {
		return err
	}
	switch r.word {
	case "gone":
		fmt.Fprintln(os.Stderr, "panic: nobody was expected")
		os.Exit(2)
	case "mute":
		forever()
	case "noise":
		_, _ = c.Write([]byte(strings.Repeat("\xff", 1<<16)))
		forever()
	}
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	if r.conn, err = packerwire.NewServer(c, os.Stderr); err != nil {
		return err
	}
	stream, err := r.conn.Accept(context.Background(), 0)
	if err != nil {
		return err
	}
	if r.method == "" && isFrame(r.word) {
		return r.badFrames(stream)
	}
	return r.services().Serve(context.Background(), stream)
}

func isFrame(word string) bool {
	return word == "huge" || word == "truncated" || word == "deep" || word == "nonsense"
}

// badFrames answers the first call with something that is no answer.
func (r *rogue) badFrames(stream net.Conn) error {
	if _, err := bufio.NewReader(stream).ReadByte(); err != nil {
		return err
	}
	switch r.word {
	case "huge":
		// A header, then a body of 4 GiB.
		_, _ = stream.Write([]byte{0x80, 0xc6, 0xff, 0xff, 0xff, 0xff})
		_, _ = io.Copy(stream, zeros{})
	case "deep":
		_, _ = stream.Write([]byte(strings.Repeat("\x91", 1<<20)))
	case "truncated":
		_, _ = stream.Write([]byte{0x83, 0xad, 'S', 'e'})
		return stream.Close()
	case "nonsense":
		_, _ = stream.Write([]byte{0xc1, 0xc1, 0xc1})
	}
	forever()
	return nil
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// at does what is to happen when a method is called.
func (r *rogue) at(ctx context.Context, method string) {
	if r.method != method {
		return
	}
	switch r.word {
	case "crash":
		fmt.Fprintln(os.Stderr, "panic: something was nil in "+method)
		os.Exit(2)
	case "hang":
		fmt.Fprintln(os.Stderr, "thinking about "+method)
		forever()
	case "slow":
		fmt.Fprintln(os.Stderr, "thinking about "+method)
		<-ctx.Done() // obeys a cancellation, and nothing else
	case "children":
		leaveChild()
		forever()
	case "orphan":
		leaveChild()
		fmt.Fprintln(os.Stderr, "panic: something was nil in "+method)
		os.Exit(2)
	}
}
