package docker

import (
	"context"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
)

var _ component.Sweeper = reaper{}

// Provider implements component.Sweeper.
func (reaper) Provider() string { return "docker" }

// Find implements component.Sweeper: it lists the containers of the engine that the
// environment names. A container is ours when it has a token as its name, or carries one
// that its image does not. Images are not listed, since nothing tells those that the user
// has been given from others.
func (p reaper) Find(ctx context.Context) ([]component.Found, error) {
	engine, err := dockerengine.Open(p.env, nil)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	list, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, engine.Explain(ctx, "list containers", err)
	}
	var out []component.Found
	for _, c := range list.Items {
		labels, err := ownLabels(ctx, engine, c)
		if err != nil {
			return nil, err
		}
		if labels == nil {
			continue
		}
		r := component.Resource{
			Kind: containerKind, Token: labels[component.LabelToken], ID: c.ID, Attrs: engine.Endpoint.Attrs(nil),
		}
		out = append(out, component.FoundBy(r, labels, time.Unix(c.Created, 0)))
	}
	return out, nil
}

// ownLabels returns what a container says of itself; nil when it is not ours.
func ownLabels(ctx context.Context, engine *dockerengine.Engine, c container.Summary) (map[string]string, error) {
	if notes := c.HostConfig.Annotations; isToken(notes[component.LabelToken]) {
		return notes, nil
	}
	named := ""
	for _, name := range c.Names {
		if name = strings.TrimPrefix(name, "/"); isToken(name) {
			named = name
		}
	}
	token := c.Labels[component.LabelToken]
	if isToken(token) && token != named {
		// Somebody may have made a container of an image that was made of ours.
		inherited, err := imageToken(ctx, engine, c.ImageID)
		if err != nil {
			return nil, err
		}
		if inherited == token {
			token = ""
		}
	}
	switch {
	case isToken(token):
		return c.Labels, nil
	case named != "":
		return map[string]string{component.LabelToken: named}, nil
	}
	return nil, nil
}

// imageToken returns the token that containers inherit from an image.
func imageToken(ctx context.Context, engine *dockerengine.Engine, id string) (string, error) {
	in, err := engine.ImageInspect(ctx, id)
	if err != nil {
		return "", engine.Explain(ctx, "inspect image "+short(id), err)
	}
	if in.Config == nil {
		return "", nil
	}
	return in.Config.Labels[component.LabelToken], nil
}

// tokenLetters are those of a token behind its prefix.
const tokenLetters = "0123456789abcdefghjkmnpqrstvwxyz"

// isToken reports whether a text has the form of a token of the journal.
func isToken(text string) bool {
	rest, ok := strings.CutPrefix(text, "ingot-")
	return ok && len(rest) == 26 && strings.Trim(rest, tokenLetters) == ""
}
