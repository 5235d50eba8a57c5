package fakecloud

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
)

// Name is that of the builder and of its provider.
const Name = "fakecloud"

type builder struct{ deps Deps }

// New returns the builder.
func New(deps Deps) component.Builder { return builder{deps} }

// Schema implements component.Builder.
func (builder) Schema() component.Schema {
	endpoint := component.String("endpoint", "Where the cloud is.")
	endpoint.Required = true
	return component.Schema{
		Description: "Makes an image in a cloud that exists for tests only.",
		Attributes: []component.Attribute{
			endpoint,
			component.Strings("zones", "Where the instance may run, in the order in which they are tried."),
		},
	}
}

// Plan implements component.Builder.
func (b builder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	j := &job{deps: b.deps}
	if err := component.Decode(cfg, j); err != nil {
		return nil, diag.Errorf("Invalid configuration", "%s.", err)
	}
	if len(j.Zones) == 0 {
		j.Zones = []string{"a", "b"}
	}
	return j, nil
}

type job struct {
	Endpoint string   `cty:"endpoint"`
	Zones    []string `cty:"zones"`

	deps      Deps
	client    *client
	key, disk string
	instance  string
}

// FactNames implements component.FactNames.
func (*job) FactNames() []string { return []string{"ID"} }

// Prepare makes the key pair and the disk.
func (j *job) Prepare(ctx context.Context, r component.Run) (err error) {
	j.client = j.deps.client(j.Endpoint, r.Limits)
	j.client.tell = r.TellRetries
	if j.key, _, err = j.make(ctx, r, KeyPairs, nil); err != nil {
		return err
	}
	j.disk, _, err = j.make(ctx, r, Disks, nil)
	return err
}

// make acquires a thing and waits until the cloud finds it.
func (j *job) make(ctx context.Context, r component.Run, collection string, spec map[string]string) (string, component.Lease, error) {
	want := component.Resource{Kind: kindOf(collection), Attrs: map[string]string{
		attrEndpoint: j.Endpoint, attrAsked: r.Clock.Now().UTC().Format(time.RFC3339Nano),
	}}
	lease, err := r.Journal.Acquire(ctx, want, func(ctx context.Context, res component.Resource) (string, error) {
		t, err := j.client.create(ctx, collection, Thing{Token: res.Token, Labels: r.Labels(res.Token), Spec: spec})
		switch retry.ClassOf(err) {
		case retry.Capacity, retry.Permission, retry.User:
			// An answer: with this token nothing was made, and nothing will be.
			delete(res.Attrs, attrAsked)
		}
		return t.ID, err
	})
	if err != nil {
		return "", nil, err
	}
	return lease.Resource().ID, lease, nil
}

// Boot makes the instance in the first zone that has room.
func (j *job) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	for i, zone := range j.Zones {
		id, _, err := j.make(ctx, r, Instances, map[string]string{"key": j.key, "disk": j.disk, "zone": zone})
		if retry.ClassOf(err) == retry.Capacity && i+1 < len(j.Zones) {
			r.Emit(component.Retrying{What: "the instance in zone " + j.Zones[i+1], Class: retry.Capacity.String(), Attempt: i + 1, Err: err})
			continue
		}
		if err != nil {
			return nil, err
		}
		j.instance = id
		return machine{j}, j.client.await(ctx, Instances, id, Running)
	}
	return nil, errors.New("fakecloud: there is no zone")
}

// Capture stops the instance and makes an image of it.
func (j *job) Capture(ctx context.Context, r component.Run, _ component.Machine) (*component.Artifact, error) {
	if err := j.client.stop(ctx, j.instance); err != nil {
		return nil, err
	}
	id, lease, err := j.make(ctx, r, Images, map[string]string{"of": j.instance})
	if err != nil {
		return nil, err
	}
	if err := j.client.await(ctx, Images, id, Ready); err != nil {
		return nil, err
	}
	res := lease.Resource()
	if err := lease.Keep(ctx); err != nil {
		return nil, fmt.Errorf("fakecloud: keep image %s: %w", id, err)
	}
	return &component.Artifact{
		Producer: Name, ID: id, Summary: "An image was created: " + id,
		Images: []component.Image{{Provider: Name, ID: id}}, Resources: []component.Resource{res},
	}, nil
}

type machine struct{ job *job }

// Facts implements component.Machine.
func (m machine) Facts() map[string]cty.Value {
	return map[string]cty.Value{"ID": cty.StringVal(m.job.instance)}
}

// Endpoint implements component.Machine.
func (machine) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{Transport: "none", Connection: new(component.Connection)}, nil
}
