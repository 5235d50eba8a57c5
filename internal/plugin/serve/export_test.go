package serve

import (
	"context"
	"net"
	"time"

	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/wirespec"
)

// ServeConn is what start does once the host is connected.
func ServeConn(ctx context.Context, kind, name string, enc wirespec.Encoding, conn net.Conn, o Options) error {
	p := &plugin{Options: o, enc: enc, began: time.Now()}
	services, err := p.services(kind, name)
	if err != nil {
		return err
	}
	return p.serve(ctx, services, conn)
}

// NewProvisioner serves a provisioner without a host.
func NewProvisioner(name string, o Options) packerwire.ProvisionerServer {
	p, c := &plugin{Options: o, enc: wirespec.Gob, began: time.Now()}, o.Components.Provisioner(name)
	return &provisioner{newServed(p, "provisioner", name, c.Schema(), c.Plan)}
}

// ListenTCP is how the plugin listens on Windows.
var ListenTCP = listenTCP
