package plan_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/plan"
)

// reading is a provider whose data source "lookup" is read by a function.
type reading struct {
	provider
	read func(ctx context.Context, key string) (cty.Value, diag.List)
}

func (r reading) DataSource(string) component.DataSource { return readingData{read: r.read} }

type readingData struct {
	fakeData
	read func(ctx context.Context, key string) (cty.Value, diag.List)
}

func (d readingData) Read(ctx context.Context, cfg cty.Value) (cty.Value, diag.List) {
	return d.read(ctx, cfg.GetAttr("key").AsString())
}

func answer(text string) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"value": cty.StringVal(text)})
}

const oneBuild = `
source "fake" "a" {}
build {
  sources = ["source.fake.a"]
}
`

// readAll plans a template with data sources that read has the values of.
func readAll(t *testing.T, ctx context.Context, text string, read func(ctx context.Context, key string) (cty.Value, diag.List)) (*plan.Plan, diag.List) {
	t.Helper()
	in := write(t, map[string]string{"main.pkr.hcl": text + oneBuild})
	in.Provider, in.EvaluateData = reading{read: read}, true
	return plan.Make(ctx, load(t, ".", in), in)
}

func dataBlock(name, key string) string {
	return fmt.Sprintf("data \"lookup\" %q {\n  key = %s\n}\n", name, key)
}

// TestW54DataSourcesAreReadTogether: 64 readings wait for each other, so they
// finish only when they are under way at the same time; never are more.
func TestW54DataSourcesAreReadTogether(t *testing.T) {
	const limit, n = 64, 200
	var text strings.Builder
	for i := range n {
		text.WriteString(dataBlock(fmt.Sprintf("d%d", i), fmt.Sprintf("\"k%d\"", i)))
	}
	var now, most, reads atomic.Int64
	var all sync.WaitGroup
	all.Add(limit)
	_, diags := readAll(t, t.Context(), text.String(), func(_ context.Context, key string) (cty.Value, diag.List) {
		if at := now.Add(1); at > most.Load() {
			most.Store(at)
		}
		defer now.Add(-1)
		if reads.Add(1) <= limit {
			all.Done()
		}
		all.Wait()
		return answer(key), nil
	})
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	if most.Load() > limit || reads.Load() != n {
		t.Errorf("%d readings, %d at once; want %d, at most %d at once", reads.Load(), most.Load(), n, limit)
	}
}

// TestDataSourcesInOrderOfNeed: a source is read once, after what it needs,
// through locals in both directions and through whole collections.
func TestDataSourcesInOrderOfNeed(t *testing.T) {
	var text strings.Builder
	for chain := range 20 {
		text.WriteString(dataBlock(fmt.Sprintf("c%d_0", chain), fmt.Sprintf("\"%d\"", chain)))
		for i := 1; i < 10; i++ {
			fmt.Fprintf(&text, "locals {\n  l%d_%d = \"${data.lookup.c%d_%d.value}.%d\"\n}\n", chain, i, chain, i-1, i)
			text.WriteString(dataBlock(fmt.Sprintf("c%d_%d", chain, i), fmt.Sprintf("local.l%d_%d", chain, i)))
		}
	}
	text.WriteString("locals {\n  whole = join(\",\", [for k, v in data.lookup : v.value if endswith(k, \"_9\")])\n  n = length(data) + length(local.whole)\n}\n")
	text.WriteString("source \"fake\" \"b\" {\n  image = local.whole\n}\nbuild {\n  sources = [\"fake.b\"]\n}\n")
	var mu sync.Mutex
	reads := map[string]int{}
	p, diags := readAll(t, t.Context(), text.String(), func(_ context.Context, key string) (cty.Value, diag.List) {
		mu.Lock()
		defer mu.Unlock()
		reads[key]++
		return answer(key), nil
	})
	if len(diags) > 0 {
		t.Fatal(diags.Err())
	}
	if len(reads) != 200 {
		t.Errorf("%d keys were read, want 200", len(reads))
	}
	for key, n := range reads {
		if n != 1 {
			t.Errorf("%q was read %d times", key, n)
		}
	}
	got := strings.Split(attr(t, p.Builds[0].Job, "image").AsString(), ",")
	if len(got) != 20 || got[0] != "0.1.2.3.4.5.6.7.8.9" || got[19] != "9.1.2.3.4.5.6.7.8.9" {
		t.Errorf("image = %q", got)
	}
}

// TestW54FindingsOfDataSources: warnings are kept, in the order of the
// template whatever the order of the answers, and each once.
func TestW54FindingsOfDataSources(t *testing.T) {
	text := dataBlock("a", `"1"`) + dataBlock("b", `"2"`) + dataBlock("c", `"3"`) + `
locals {
  x = data.lookup.a.value
  y = "${data.lookup.a.value}${data.lookup.b.value}"
}
`
	for range 10 {
		_, diags := readAll(t, t.Context(), text, func(_ context.Context, key string) (cty.Value, diag.List) {
			return answer(key), diag.WarnAt("key", "Key is old", "Key %s is old.", key)
		})
		var got []string
		for _, d := range diags {
			got = append(got, d.Error())
		}
		want(t, "findings", got, []string{
			"main.pkr.hcl:2: Key is old: Key 1 is old.",
			"main.pkr.hcl:5: Key is old: Key 2 is old.",
			"main.pkr.hcl:8: Key is old: Key 3 is old.",
		})
	}
}

// TestFailedDataSource: what depends on one that failed is neither read nor
// complained about; what does not is read.
func TestFailedDataSource(t *testing.T) {
	text := dataBlock("bad", `"bad"`) + dataBlock("after", "data.lookup.bad.value") + dataBlock("other", `"other"`) +
		"locals {\n  x = upper(data.lookup.after.value)\n}\n"
	var mu sync.Mutex
	var reads []string
	_, diags := readAll(t, t.Context(), text, func(_ context.Context, key string) (cty.Value, diag.List) {
		mu.Lock()
		defer mu.Unlock()
		reads = append(reads, key)
		if key == "bad" {
			return cty.DynamicVal, diag.At("key", "Not there", "There is no %s.", key)
		}
		return answer(key), nil
	})
	if len(diags) != 1 || diags[0].Summary != "Not there" {
		t.Errorf("findings: %v", diags.Err())
	}
	if len(reads) != 2 {
		t.Errorf("read %q, want bad and other", reads)
	}
}

func TestInterruptedDataSources(t *testing.T) {
	var text strings.Builder
	for i := range 100 {
		text.WriteString(dataBlock(fmt.Sprintf("d%d", i), fmt.Sprintf("\"k%d\"", i)))
	}
	text.WriteString(dataBlock("last", "data.lookup.d0.value"))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var reads atomic.Int64
	var all sync.WaitGroup
	all.Add(64)
	p, diags := readAll(t, ctx, text.String(), func(ctx context.Context, key string) (cty.Value, diag.List) {
		reads.Add(1)
		all.Done()
		all.Wait()
		if key == "k1" {
			cancel(errors.New("interrupted by Ctrl-C"))
		}
		<-ctx.Done()
		if key == "k2" {
			return answer(key), nil // it was just in time
		}
		return cty.DynamicVal, diag.At("key", "Cannot look up", "%s.", context.Cause(ctx))
	})
	if len(p.Builds) != 0 || len(diags) != 1 {
		t.Fatalf("%d builds, findings: %v", len(p.Builds), diags.Err())
	}
	const text1 = "Stopped: Reading data sources was stopped: interrupted by Ctrl-C. Of 101, 100 were not read: " +
		"data.lookup.d0, data.lookup.d1, data.lookup.d3, data.lookup.d4, data.lookup.d5 and 95 more."
	if got := diags[0].Error(); got != text1 {
		t.Errorf("got  %s\nwant %s", got, text1)
	}
	if reads.Load() != 64 {
		t.Errorf("%d were begun, want the first 64", reads.Load())
	}
}
