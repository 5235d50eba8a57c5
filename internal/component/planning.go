package component

import (
	"context"

	"ingot/internal/addr"
)

// Planning is what a component is planned for.
type Planning struct {
	// Build is the build; zero where a component is planned for none.
	Build addr.Build
	// Legacy says that the template is in the legacy JSON format.
	Legacy bool
	// Facts are the names of the values that the machine of a step will have. They are
	// told in legacy templates only, where texts refer to them with the build function.
	Facts []string
}

type planningKey struct{}

// WithPlanning returns a context for Plan that says what is planned.
func WithPlanning(ctx context.Context, p Planning) context.Context {
	return context.WithValue(ctx, planningKey{}, p)
}

// PlanningOf returns what is planned; the zero Planning where nothing was said.
func PlanningOf(ctx context.Context) Planning {
	p, _ := ctx.Value(planningKey{}).(Planning)
	return p
}
