package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/internal/component"
)

// diagnoseTimeout bounds the look at a machine that could not be reached.
const diagnoseTimeout = 15 * time.Second

// diagnose tells what a machine shows that could not be reached. After an
// interrupt nobody wants to know.
func (b *build) diagnose(ctx context.Context, m component.Machine) {
	d, ok := m.(component.Diagnoser)
	if !ok || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, diagnoseTimeout, errors.New("looking at the machine took too long"))
	defer cancel()
	found := d.Diagnose(ctx, b.rt)
	if len(found.Console) > 0 {
		b.rt.Emit(component.Problem{Text: fmt.Sprintf("The last lines that the machine printed:\n  %s", strings.Join(found.Console, "\n  "))})
	}
	for _, s := range found.Saved {
		b.rt.Emit(component.Problem{Text: fmt.Sprintf("Saved %s in %s", s.What, s.Path)})
	}
	for _, err := range found.Errs {
		b.rt.Emit(component.Warning{Summary: "The machine could not be looked at", Detail: err.Error()})
	}
}
