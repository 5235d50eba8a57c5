package qemu

import (
	"net"
	"strings"
	"testing"
)

// Ensure that ports on which somebody listens are passed over, that each port is
// handed out once, and that the search ends.
func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	low := min(taken, 65530)
	p := newPorts(low, low+4)
	seen := map[int]bool{}
	for {
		port, err := p.take(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), "host_port_min") {
				t.Errorf("got %v", err)
			}
			break
		}
		if port < low || port > low+4 || port == taken || seen[port] {
			t.Fatalf("got port %d, taken is %d, seen %v", port, taken, seen)
		}
		seen[port] = true
	}
	if _, err := newPorts(taken, taken).take(t.Context()); err == nil {
		t.Error("a port that is taken was handed out")
	}
}

func TestNeighbour(t *testing.T) {
	table := []byte(`IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         52:54:00:aa:bb:cc     *        br0
192.168.1.7      0x1         0x0         52:54:00:11:22:33     *        br0
192.168.1.8      0x1         0x2         52:54:00:11:22:33     *        br1
192.168.1.9      0x1         0x2         52:54:00:11:22:33     *        br0
`)
	for mac, want := range map[string]string{"52:54:00:11:22:33": "192.168.1.9", "52:54:00:AA:bb:cc": "192.168.1.1", "52:54:00:00:00:00": ""} {
		if got := neighbour(table, mac, "br0"); got != want {
			t.Errorf("%s: got %q, want %q", mac, got, want)
		}
	}
	status := []byte(`[{"ip-address": "192.168.122.5", "mac-address": "52:54:00:11:22:33"}, {"ip-address": "192.168.122.6", "mac-address": "52:54:00:11:22:33", "expiry-time": 1}]`)
	if got := leased(status, "52:54:00:11:22:33"); got != "192.168.122.6" {
		t.Errorf("leased %q", got)
	}
	if got := leased([]byte("[{"), "52:54:00:11:22:33"); got != "" {
		t.Errorf("half a file says %q", got)
	}
	if a, b := randomMAC(), randomMAC(); a == b || !strings.HasPrefix(a, "52:54:00:") || len(a) != 17 {
		t.Errorf("hardware addresses %s, %s", a, b)
	}
}
