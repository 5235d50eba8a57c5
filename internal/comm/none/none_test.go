package none_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"ingot/internal/comm/none"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestContract(t *testing.T) {
	componenttest.Communicator(t, componenttest.CommunicatorConfig{
		New: func(testing.TB) component.Communicator { return none.New() },
		Dir: "/tmp",
	})
}

func TestDialDoesNotAskForAnEndpoint(t *testing.T) {
	c, err := none.NewDialer().Dial(t.Context(), component.Run{}, func(context.Context) (component.Endpoint, error) {
		t.Error("the endpoint was asked for")
		return component.Endpoint{}, nil
	})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	_, err = c.Run(t.Context(), component.Command{Line: "true"})
	if !errors.Is(err, component.ErrUnsupported) || !strings.Contains(err.Error(), `communicator = "none"`) {
		t.Errorf("Run: %v", err)
	}
}
