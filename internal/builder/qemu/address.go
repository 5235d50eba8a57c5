package qemu

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"ingot/internal/retry"
)

// Where Linux, and libvirt on its own bridges, write down which machine has which
// address.
const (
	neighbourTable = "/proc/net/arp"
	leaseFolder    = "/var/lib/libvirt/dnsmasq"
)

// randomMAC is a hardware address for a machine on a bridge, where others have one
// too. The first bytes are those that QEMU gives its machines.
func randomMAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", b[0], b[1], b[2])
}

var macInNetwork = regexp.MustCompile(`macaddr=([0-9a-fA-F:]{17})`)

// findAddress looks for the address of a machine on a bridge. As long as there is
// none the error is one that may pass.
func (m *machine) findAddress(ctx context.Context) (string, error) {
	network, err := m.qmp.Human(ctx, "info network")
	if err != nil {
		return "", err
	}
	var macs []string
	for _, found := range macInNetwork.FindAllStringSubmatch(network, -1) {
		macs = append(macs, strings.ToLower(found[1]))
	}
	if len(macs) == 0 {
		return "", errors.New("the machine has no network card whose address could be looked for: set ssh_host or winrm_host")
	}
	table, err := readIfThere(neighbourTable)
	if err != nil {
		return "", err
	}
	leases, err := readIfThere(filepath.Join(leaseFolder, m.plan.NetBridge+".status"))
	if err != nil {
		return "", err
	}
	for _, mac := range macs {
		if ip := leased(leases, mac); ip != "" {
			return ip, nil
		}
		if ip := neighbour(table, mac, m.plan.NetBridge); ip != "" {
			return ip, nil
		}
	}
	return "", retry.As(retry.Transient, fmt.Errorf("nothing has been heard yet on the bridge %s of the machine, whose hardware address is %s", m.plan.NetBridge, strings.Join(macs, " or ")))
}

// readIfThere reads a file; one that is not there or not ours is empty.
func readIfThere(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find the address of the machine: %w", err)
	}
	return data, nil
}

// neighbour finds a hardware address in Linux's table of neighbours: IP address,
// type, flags, hardware address, mask, device. Flags 0x0 are an entry that was not
// answered.
func neighbour(table []byte, mac, device string) string {
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) == 6 && strings.EqualFold(f[3], mac) && f[5] == device && f[2] != "0x0" {
			return f[0]
		}
	}
	return ""
}

// leased finds a hardware address in what libvirt says of the addresses that it has
// handed out, the last one first.
func leased(status []byte, mac string) string {
	var leases []struct {
		IP  string `json:"ip-address"`
		MAC string `json:"mac-address"`
	}
	if json.Unmarshal(status, &leases) != nil {
		return "" // being written, or empty
	}
	for i := len(leases) - 1; i >= 0; i-- {
		if strings.EqualFold(leases[i].MAC, mac) {
			return leases[i].IP
		}
	}
	return ""
}
