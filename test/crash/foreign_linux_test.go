package crash

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"ingot/internal/testkit/live"
)

// foreign is what belongs to somebody else and looks like ours: a container,
// an image without a name, a process and a mount. It must outlive every reap.
type foreign struct {
	// id is in the marks of all worlds of the campaign.
	id        string
	engine    *client.Client
	container string
	image     string
	process   *os.Process
	mount     string
}

func newForeign(t *testing.T, env live.Env) *foreign {
	t.Helper()
	engine, err := client.New(client.WithHost(env.DockerHost))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	f := &foreign{id: fmt.Sprintf("%d-%d", os.Getpid(), time.Now().UnixNano()), engine: engine}
	t.Cleanup(func() { f.tidy(t) })
	f.startContainer(t, env.TinyImage)
	f.startProcess(t)
	f.mount = t.TempDir()
	if err := syscall.Mount("tmpfs", f.mount, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(f.mount, 0); err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *foreign) startContainer(t *testing.T, image string) {
	t.Helper()
	ctx := context.Background()
	made, err := f.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:   "ingot-foreign-" + f.id,
		Config: &container.Config{Image: image, Cmd: []string{"sleep", "3600"}, Labels: map[string]string{markLabel: "foreign-" + f.id}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.container = made.ID
	t.Cleanup(func() {
		if _, err := f.engine.ContainerRemove(ctx, f.container, client.ContainerRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	if _, err := f.engine.ContainerStart(ctx, f.container, client.ContainerStartOptions{}); err != nil {
		t.Fatal(err)
	}
	committed, err := f.engine.ContainerCommit(ctx, f.container, client.ContainerCommitOptions{Comment: foreignToken})
	if err != nil {
		t.Fatal(err)
	}
	f.image = committed.ID
	t.Cleanup(func() {
		if _, err := f.engine.ImageRemove(ctx, f.image, client.ImageRemoveOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func (f *foreign) startProcess(t *testing.T) {
	t.Helper()
	cmd := exec.Command("sleep", "3600")
	cmd.Env = []string{"INGOT_TOKEN=" + foreignToken, markVariable + "=foreign-" + f.id}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.process = cmd.Process
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
	})
}

// check makes sure that all of it is still there.
func (f *foreign) check(t *testing.T) {
	t.Helper()
	in, err := f.engine.ContainerInspect(context.Background(), f.container, client.ContainerInspectOptions{})
	if err != nil {
		t.Errorf("somebody else's container: %v", err)
	} else if in.Container.State == nil || !in.Container.State.Running {
		t.Error("somebody else's container does not run any more")
	}
	if _, err := f.engine.ImageInspect(context.Background(), f.image); err != nil {
		t.Errorf("somebody else's image: %v", err)
	}
	if len(processesMarked("foreign-"+f.id)) != 1 {
		t.Error("somebody else's process is gone")
	}
	if len(mountsBelow(f.mount)) != 1 {
		t.Error("somebody else's mount is gone")
	}
}

// containersOf lists the containers with a mark.
func (f *foreign) containersOf(t *testing.T, mark string) []string {
	t.Helper()
	var out []string
	for _, c := range f.containers(t) {
		if c.Labels[markLabel] == mark {
			out = append(out, c.ID)
		}
	}
	return out
}

// imagesOf lists the images with a mark.
func (f *foreign) imagesOf(t *testing.T, mark string) []string {
	t.Helper()
	var out []string
	for id, m := range f.images(t) {
		if m == mark {
			out = append(out, id)
		}
	}
	return out
}

// removeImages removes images in an order in which the engine lets it: those that
// were made of others first, which takes these away, too, when nothing else needs
// them.
func (f *foreign) removeImages(t *testing.T, ids []string) {
	t.Helper()
	for len(ids) > 0 {
		var refused []string
		var last error
		for _, id := range ids {
			_, err := f.engine.ImageRemove(context.Background(), id, client.ImageRemoveOptions{Force: true})
			if err != nil && !cerrdefs.IsNotFound(err) {
				refused, last = append(refused, id), err
			}
		}
		if len(refused) == len(ids) {
			t.Errorf("remove images %q: %v", ids, last)
			return
		}
		ids = refused
	}
}

// tidy removes what a failed test has left on the engine.
func (f *foreign) tidy(t *testing.T) {
	t.Helper()
	for _, c := range f.containers(t) {
		if strings.HasPrefix(c.Labels[markLabel], f.id) {
			if _, err := f.engine.ContainerRemove(context.Background(), c.ID, client.ContainerRemoveOptions{Force: true}); err != nil {
				t.Errorf("remove container: %v", err)
			}
		}
	}
	var ids []string
	for id, mark := range f.images(t) {
		if strings.HasPrefix(mark, f.id) {
			ids = append(ids, id)
		}
	}
	f.removeImages(t, ids)
}

// checkEngine looks for what any run of the campaign has made. The checks
// after each of them have removed the images that were kept.
func (f *foreign) checkEngine(t *testing.T) {
	t.Helper()
	for _, c := range f.containers(t) {
		if strings.HasPrefix(c.Labels[markLabel], f.id) {
			t.Errorf("came late: container %s %v, %s", c.ID, c.Names, c.State)
		}
	}
	for id, mark := range f.images(t) {
		if strings.HasPrefix(mark, f.id) {
			t.Errorf("came late: image %s", id)
		}
	}
	f.check(t)
}

func (f *foreign) containers(t *testing.T) []container.Summary {
	t.Helper()
	list, err := f.engine.ContainerList(context.Background(), client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", markLabel),
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// images returns the marks of the images that have one, by id.
func (f *foreign) images(t *testing.T) map[string]string {
	t.Helper()
	list, err := f.engine.ImageList(context.Background(), client.ImageListOptions{
		All: true, Filters: make(client.Filters).Add("label", markLabel),
	})
	if err != nil {
		t.Fatal(err)
	}
	marks := map[string]string{}
	for _, i := range list.Items {
		marks[i.ID] = i.Labels[markLabel]
	}
	return marks
}
