package packerwire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The environment variable and its value by which a plugin knows that it is
// started by a host and not by hand.
const (
	CookieVariable = "PACKER_PLUGIN_MAGIC_COOKIE"
	CookieValue    = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
)

// APIMajor and APIMinor are the version of the protocol that is spoken here.
const (
	APIMajor = 5
	APIMinor = 0
)

// ProtobufFlag is the argument of a plugin that asks it to send its schemas as
// protocol buffers. Only plugins that describe themselves with
// ProtobufProtocol understand it.
const (
	ProtobufFlag     = "--protobuf"
	ProtobufProtocol = "v2"
)

// DefaultComponent is the name of a plugin's component without a name of its own.
const DefaultComponent = "-packer-default-plugin-name-"

// maxHandshake is the longest line that is taken for a handshake; an address is a
// path or host:port.
const maxHandshake = 4 << 10

// Handshake is the first line that a plugin prints: where it listens.
type Handshake struct {
	Major, Minor int
	// Network is "unix" or "tcp".
	Network, Address string
}

// String is the line without its end.
func (h Handshake) String() string {
	return fmt.Sprintf("%d|%d|%s|%s", h.Major, h.Minor, h.Network, h.Address)
}

// ParseHandshake reads the line. Whether the version is one that is spoken here
// says Compatible.
func ParseHandshake(line string) (Handshake, error) {
	if len(line) > maxHandshake {
		return Handshake{}, fmt.Errorf("its first line is longer than %d bytes", maxHandshake)
	}
	line = strings.TrimSpace(line)
	parts := strings.SplitN(line, "|", 4)
	if len(parts) == 3 {
		return Handshake{}, fmt.Errorf("it speaks the protocol of Packer before 1.7 (%q): use a newer version of the plugin", line)
	}
	if len(parts) != 4 {
		return Handshake{}, fmt.Errorf("its first line is %q and not a handshake such as \"5|0|unix|/tmp/socket\"", shorten(line))
	}
	h := Handshake{Network: parts[2], Address: parts[3]}
	var err error
	if h.Major, err = version(parts[0]); err == nil {
		h.Minor, err = version(parts[1])
	}
	if err != nil {
		return Handshake{}, fmt.Errorf("its handshake %q: %w", shorten(line), err)
	}
	if h.Network != "unix" && h.Network != "tcp" {
		return Handshake{}, fmt.Errorf("its handshake %q names the network %q; known are unix and tcp", shorten(line), h.Network)
	}
	if h.Address == "" {
		return Handshake{}, fmt.Errorf("its handshake %q has no address", shorten(line))
	}
	return h, nil
}

// Compatible returns why the plugin's version cannot be spoken to, or nil.
func (h Handshake) Compatible() error {
	if h.Major != APIMajor || h.Minor > APIMinor {
		return fmt.Errorf("it speaks version %d.%d of the protocol; this program speaks %d.%d", h.Major, h.Minor, APIMajor, APIMinor)
	}
	return nil
}

func version(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("the version is not a number")
	}
	return int(n), nil
}

// shorten makes a text of the other side short enough for a message.
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
