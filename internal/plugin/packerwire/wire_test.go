package packerwire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/component"
)

// pair connects a host and a plugin in memory.
func pair(t testing.TB) (host, plugin *Conn) {
	t.Helper()
	a, b := net.Pipe()
	host, err := NewClient(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	plugin, err = NewServer(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close(); _ = plugin.Close() })
	return host, plugin
}

// served lets the plugin serve something on id 0 and calls it from the host.
func served(t testing.TB, s Services) (*Caller, *Conn, *Conn) {
	t.Helper()
	host, plugin := pair(t)
	done := make(chan error, 1)
	go func() { done <- s.ServeOn(context.Background(), plugin, 0) }()
	stream, err := host.Dial(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	caller := NewCaller(stream)
	t.Cleanup(func() {
		_ = caller.Close()
		if err := <-done; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return caller, host, plugin
}

func fromHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func text(s string) string { return hex.EncodeToString([]byte(s)) }

// TestRecordedOpening compares what a host writes with what Packer 1.16 wrote.
func TestRecordedOpening(t *testing.T) {
	a, b := net.Pipe()
	host, err := NewClient(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	defer b.Close()
	go func() {
		stream, err := host.Dial(t.Context(), 0)
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		_, _ = Builder{NewCaller(stream)}.ConfigSpec(t.Context()) // nobody answers
	}()
	// The keep-alive of the session pings at once as well, which Packer's does too.
	frames := readFrames(t, b, 2)
	// What differs is that a larger window is announced with the opening.
	if got, want := frames[0][:16], "0001000100000001"; got != want {
		t.Errorf("the stream was opened with %s, Packer's with %s", got, want)
	}
	if got := frames[1]; got != "000000000000000100000004|00000000" {
		t.Errorf("the number was sent as %s", got)
	}
	if _, err := b.Write(fromHex(t, "00010002 00000001 00000000  00000000 00000001 00000004 00000000")); err != nil {
		t.Fatal(err)
	}
	call := readFrames(t, b, 1)[0]
	body := "82 ad" + text("ServiceMethod") + "b2" + text("Builder.ConfigSpec") + "a3" + text("Seq") + "00 c0"
	if got, want := call, "000000000000000100000028|"+hex.EncodeToString(fromHex(t, body)); got != want {
		t.Errorf("the call was sent as\n%s\nPacker sent\n%s", got, want)
	}
}

// readFrames returns frames but for pings as "header|payload" in hexadecimal.
func readFrames(t *testing.T, r io.Reader, n int) []string {
	t.Helper()
	var out []string
	for len(out) < n {
		var h [12]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			t.Fatal(err)
		}
		var payload []byte
		if h[1] == 0 {
			payload = make([]byte, int(h[10])<<8|int(h[11]))
			if _, err := io.ReadFull(r, payload); err != nil {
				t.Fatal(err)
			}
		}
		if h[1] != 2 {
			out = append(out, hex.EncodeToString(h[:])+"|"+hex.EncodeToString(payload))
		}
	}
	return out
}

// TestRecordedMessages decodes what was recorded between Packer and a plugin, and
// encodes it again to the same bytes.
func TestRecordedMessages(t *testing.T) {
	str := func(s string) string {
		if len(s) < 32 {
			return hex.EncodeToString([]byte{0xa0 | byte(len(s))}) + text(s)
		}
		return "d9" + hex.EncodeToString([]byte{byte(len(s))}) + text(s)
	}
	for _, c := range []struct {
		name, bytes string
		into        any
		want        any
	}{
		{"request header", "82" + str("ServiceMethod") + str("Builder.ConfigSpec") + str("Seq") + "00",
			new(requestHeader), &requestHeader{"Builder.ConfigSpec", 0}},
		{"reply header", "83" + str("ServiceMethod") + str("Builder.ConfigSpec") + str("Seq") + "00" + str("Error") + "a0",
			new(replyHeader), &replyHeader{"Builder.ConfigSpec", 0, ""}},
		{"reply of Prepare", "83" + str("GeneratedVars") + "92" + str("ImageSha256") + str("SourceImageDigest") + str("Warnings") + "c0" + str("Error") + "c0",
			new(prepareReply), &prepareReply{GeneratedVars: []string{"ImageSha256", "SourceImageDigest"}}},
		{"Communicator.Start", "85" + str("Command") + str("chmod 0755 /tmp/script_4634.sh") + str("StdinStreamId") + "00" + str("StdoutStreamId") + "00" +
			str("StderrStreamId") + "00" + str("ResponseStreamId") + "03",
			new(startArgs), &startArgs{Command: "chmod 0755 /tmp/script_4634.sh", ResponseStreamId: 3}},
		{"NewTrackProgress", "83" + str("Src") + str("up.txt") + str("TotalSize") + "14" + str("CurrentSize") + "00",
			new(trackArgs), &trackArgs{"up.txt", 20, 0}},
		{"PostProcess", "84" + str("Err") + "c0" + str("Keep") + "c3" + str("ForceOverride") + "c3" + str("StreamId") + "01",
			new(processReply), &processReply{Keep: true, ForceOverride: true, StreamId: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := fromHex(t, c.bytes)
			value, err := readValue(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil || !bytes.Equal(value, raw) {
				t.Fatalf("read %x, %v", value, err)
			}
			if err := decode(value, c.into); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, c.into); d != "" {
				t.Errorf("decoded (-want +got):\n%s", d)
			}
			var again bytes.Buffer
			if err := encode(&again, c.want); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes(), raw) {
				t.Errorf("encoded %x, recorded %x", again.Bytes(), raw)
			}
		})
	}
}

// TestRecordedFileInfo: the time is an extension of eight bytes.
func TestRecordedFileInfo(t *testing.T) {
	raw := fromHex(t, "84 a1"+text("N")+"a6"+text("up.txt")+"a1"+text("S")+"14 a1"+text("M")+"cd01a4 a1"+text("T")+"d7ff52aa7f6c6b02ed9a")
	var got fileInfo
	if err := decode(raw, &got); err != nil {
		t.Fatal(err)
	}
	stamp := got.meta().ModTime
	if got.N != "up.txt" || got.S != 20 || got.meta().Mode != 0o644 || stamp.Year() != 2026 || stamp.Nanosecond() == 0 {
		t.Fatalf("decoded %+v with the time %s", got, stamp)
	}
	var again bytes.Buffer
	if err := encode(&again, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Bytes(), raw) {
		t.Errorf("encoded %x, recorded %x", again.Bytes(), raw)
	}
}

// TestRecordedExitStatus: the bytes of a command that ended with 0.
func TestRecordedExitStatus(t *testing.T) {
	raw := fromHex(t, "2b7f0301010f436f6d6d616e6446696e697368656401ff80000101010a457869745374617475730104000000 03ff8000")
	end := commandFinished{7}
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(&end); err != nil {
		t.Fatal(err)
	}
	if end.ExitStatus != 7 { // a zero is not transmitted
		t.Errorf("status %d", end.ExitStatus)
	}
}

// TestAnyShape: values of any shape arrive as what the peers take them for.
func TestAnyShape(t *testing.T) {
	when := time.Unix(1700000000, 5)
	in := map[string]any{
		"port": 300, "neg": -300, "minus": int64(-1), "big": int64(1) << 40, "u": uint64(300), "f": 1.5, "s": "ü", "b": []byte{1, 2},
		"t": true, "none": nil, "list": []any{1, "x", nil, []any{}}, "map": map[string]any{"k": map[string]any{}}, "when": when,
	}
	want := map[string]any{
		"port": int64(300), "neg": int64(-300), "minus": int64(-1), "big": int64(1) << 40, "u": uint64(300), "f": 1.5, "s": "ü", "b": []byte{1, 2},
		"t": true, "none": nil, "list": []any{int64(1), "x", nil, []any{}}, "map": map[string]any{"k": map[string]any{}}, "when": when,
	}
	var buf bytes.Buffer
	if err := encode(&buf, in); err != nil {
		t.Fatal(err)
	}
	raw, err := readValue(bufio.NewReader(&buf))
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := decode(raw, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// +300 is a signed number on the wire: plugins ask whether it is an int64.
	if !bytes.Contains(raw, fromHex(t, "a4"+text("port")+"d1012c")) {
		t.Errorf("the port is encoded otherwise: %x", raw)
	}
}

// TestLimits: hostile messages are errors, at little cost.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"huge string", []byte{0xdb, 0xff, 0xff, 0xff, 0xff, 'x'}, errTooLarge},
		{"huge bin", []byte{0xc6, 0x7f, 0xff, 0xff, 0xff}, errTooLarge},
		{"huge list", append([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, make([]byte, 2*maxValues)...), errTooMany},
		{"deep", bytes.Repeat([]byte{0x91}, 1<<20), errTooDeep},
		{"cut", []byte{0xa5, 'a'}, io.ErrUnexpectedEOF},
		{"nothing", nil, io.EOF},
		{"announced and not sent", []byte{0xc6, 0, 0xff, 0xf0, 0, 1}, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readValue(bufio.NewReader(bytes.NewReader(c.data)))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

type testBuilder struct {
	plugin func() *Conn
	ran    chan struct{}
}

func (testBuilder) ConfigSpec(context.Context) ([]byte, error) { return []byte("spec"), nil }
func (testBuilder) Prepare(_ context.Context, list []any) (Prepared, error) {
	if len(list) != 2 || string(list[1].([]byte)) != "{}" {
		return Prepared{}, errors.New("the configuration is wrong")
	}
	return Prepared{GeneratedVars: []string{"A"}, Warnings: []string{"careful"}}, nil
}

func (b testBuilder) Run(ctx context.Context, id uint32) (uint32, error) {
	close(b.ran)
	stream, err := b.plugin().Dial(ctx, id)
	if err != nil {
		return 0, err
	}
	caller := NewCaller(stream)
	defer caller.Close()
	if err := (UI{caller}).Say(ctx, "starting"); err != nil {
		return 0, err
	}
	// The hook is pending while the plugin talks on the same stream.
	return 7, Hook{caller}.Run(ctx, ProvisionHook, map[string]any{"ID": "x"}, 5, time.Minute)
}

type testHook struct {
	caller chan struct{}
	ui     *testUI
}

func (h testHook) Run(ctx context.Context, name string, data map[string]any, stream uint32) error {
	h.ui.Say("hook " + name + " " + data["ID"].(string))
	close(h.caller)
	<-ctx.Done()
	return context.Cause(ctx)
}

type testUI struct{ said chan string }

func (u *testUI) Say(s string)                 { u.said <- s }
func (u *testUI) Error(s string)               { u.said <- "error " + s }
func (u *testUI) Machine(c string, a []string) { u.said <- c + strings.Join(a, "+") }
func (u *testUI) Ask(context.Context, string) (string, error) {
	return "", errors.New("no available tty")
}
func (u *testUI) Track(what string, total, done int64) BarServer {
	u.said <- "track " + what
	return testBar{u}
}

type testBar struct{ u *testUI }

func (b testBar) Add(n int64) { b.u.said <- "add" }
func (b testBar) Close()      { b.u.said <- "close" }

// TestCancelOrder: the end of the host's context goes to the builder as Cancel, from
// it to the hook as Cancel, and the answers come back in the opposite order.
func TestCancelOrder(t *testing.T) {
	var plugin *Conn
	ran, inHook := make(chan struct{}), make(chan struct{})
	caller, host, p := served(t, ServeBuilder(testBuilder{func() *Conn { return plugin }, ran}))
	plugin = p
	b := Builder{caller}
	if spec, err := b.ConfigSpec(t.Context()); err != nil || string(spec) != "spec" {
		t.Fatalf("spec %q, %v", spec, err)
	}
	if _, err := b.Prepare(t.Context(), nil); err == nil || err.Error() != "the configuration is wrong" {
		t.Fatalf("error %v", err)
	}
	prepared, err := b.Prepare(t.Context(), []any{map[string]any{"packer_debug": "false"}, []byte("{}")})
	if d := cmp.Diff(Prepared{[]string{"A"}, []string{"careful"}}, prepared); err != nil || d != "" {
		t.Fatalf("%v %s", err, d)
	}
	ui := &testUI{said: make(chan string, 10)}
	services := Services{}
	services.AddUI(ui)
	services.AddHook(testHook{inHook, ui})
	id := host.NextID()
	servedAll := make(chan error, 1)
	go func() { servedAll <- services.ServeOn(t.Context(), host, id) }()
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	waited := make(chan struct{})
	go func() {
		_, err := b.Run(ctx, id, time.Minute, func() { close(waited) })
		result <- err
	}()
	<-ran
	if got := []string{<-ui.said, <-ui.said}; !cmp.Equal(got, []string{"starting", "hook packer_provision x"}) {
		t.Errorf("said %q", got)
	}
	<-inHook
	cancel(errors.New("interrupted"))
	<-waited
	if err := <-result; err == nil || err.Error() != errCancelled.Error() {
		t.Errorf("Run ended with %v", err)
	}
	if err := <-servedAll; err != nil {
		t.Errorf("serving the hook ended with %v", err)
	}
}

// TestUncancelled: a peer that does not end costs only the time that it is given.
func TestUncancelled(t *testing.T) {
	stuck, started := make(chan struct{}), make(chan struct{})
	caller, _, _ := served(t, ServeProvisioner(stuckProvisioner{started, stuck}))
	defer close(stuck)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- Provisioner{caller}.Provision(ctx, nil, 1, 10*time.Millisecond, nil) }()
	<-started
	cancel()
	if err := <-result; !errors.Is(err, ErrUncancelled) {
		t.Errorf("error %v", err)
	}
}

type stuckProvisioner struct{ started, release chan struct{} }

func (stuckProvisioner) ConfigSpec(context.Context) ([]byte, error) { return nil, nil }
func (stuckProvisioner) Prepare(context.Context, []any) error       { return nil }
func (s stuckProvisioner) Provision(context.Context, map[string]any, uint32) error {
	close(s.started)
	<-s.release
	return nil
}

// TestUnknownMethods: they are answered in the words of net/rpc, and the stream
// survives.
func TestUnknownMethods(t *testing.T) {
	caller, _, _ := served(t, ServeProvisioner(stuckProvisioner{}))
	for method, want := range map[string]string{
		"Provisioner.Nothing": "rpc: can't find method Provisioner.Nothing",
		"Nothing.Prepare":     "rpc: can't find service Nothing.Prepare",
		"Nothing":             "rpc: service/method request ill-formed: Nothing",
	} {
		if err := caller.Call(t.Context(), method, nil, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v", method, err)
		}
	}
	if err := (Provisioner{caller}).Prepare(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := caller.Call(t.Context(), "Provisioner.Prepare", "no map", nil); err == nil || !strings.Contains(err.Error(), "the argument of Provisioner.Prepare") {
		t.Errorf("error %v", err)
	}
}

// TestProgress: the name of a bar may hold dots and slashes.
func TestProgress(t *testing.T) {
	ui := &testUI{said: make(chan string, 20)}
	services := Services{}
	done := services.AddUI(ui)
	caller, _, _ := served(t, services)
	u := UI{caller}
	bar, err := u.Track(t.Context(), "http://x/y.iso", 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := bar.Add(t.Context(), 250); err != nil {
			t.Fatal(err)
		}
	}
	if err := bar.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := bar.Add(t.Context(), 1); err == nil {
		t.Error("a bar that is closed takes more")
	}
	if _, err := u.Track(t.Context(), "left open", 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Ask(t.Context(), "well?"); err == nil || err.Error() != "no available tty" {
		t.Errorf("asking gave %v", err)
	}
	if err := u.Machine(t.Context(), "probe", []string{"x", "y"}); err != nil {
		t.Fatal(err)
	}
	done()
	close(ui.said)
	var got []string
	for s := range ui.said {
		got = append(got, s)
	}
	if d := cmp.Diff([]string{"track http://x/y.iso", "add", "add", "close", "track left open", "probex+y", "close"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

type testArtifact struct{ destroy error }

func (testArtifact) BuilderID() string { return "probe.builder" }
func (testArtifact) ID() string        { return "id" }
func (testArtifact) Summary() string   { return "an artifact" }
func (testArtifact) Files() []string   { return []string{"a", "b"} }
func (testArtifact) State(key string) any {
	if key == GeneratedData {
		return map[string]any{"Port": 22}
	}
	return nil
}
func (a testArtifact) Destroy(context.Context) error { return a.destroy }

func TestArtifact(t *testing.T) {
	services := Services{}
	services.AddArtifact(testArtifact{errors.New("refused")})
	caller, _, _ := served(t, services)
	a := Artifact{caller}
	id, err := a.ID(t.Context())
	if id != "id" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	files, err := a.Files(t.Context())
	if !cmp.Equal(files, []string{"a", "b"}) || err != nil {
		t.Errorf("%q, %v", files, err)
	}
	data, err := a.State(t.Context(), GeneratedData)
	if !cmp.Equal(data, any(map[string]any{"Port": int64(22)})) || err != nil {
		t.Errorf("%v, %v", data, err)
	}
	if nothing, err := a.State(t.Context(), "x"); nothing != nil || err != nil {
		t.Errorf("%v, %v", nothing, err)
	}
	if err := a.Destroy(t.Context()); err == nil || err.Error() != "destroy the artifact: refused" {
		t.Errorf("destroying gave %v", err)
	}
}

// TestImages: an artifact knows one image or a list of them.
func TestImages(t *testing.T) {
	one := map[string]any{"ImageID": "ami-1", "ProviderName": "aws", "ProviderRegion": "eu", "SourceImageID": "ami-0", "Labels": map[string]any{}}
	want := []component.Image{{Provider: "aws", Region: "eu", ID: "ami-1", Parent: "ami-0"}}
	if d := cmp.Diff(want, imagesOf(one)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(append(want, want...), imagesOf([]any{one, one, "x", nil})); d != "" {
		t.Error(d)
	}
}

// TestDestroyAnswersOfPlugins: a failure comes in the body, where success is nil.
func TestDestroyAnswersOfPlugins(t *testing.T) {
	for body, want := range map[string]string{"c0": "", "81 a7" + text("Message") + "a3" + text("no!"): "no!"} {
		var failure *textError
		if err := decode(fromHex(t, body), &failure); err != nil {
			t.Fatal(err)
		}
		if err := failure.error(); want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestBroker: numbers meet in either order, each once.
func TestBroker(t *testing.T) {
	host, plugin := pair(t)
	id := plugin.NextID()
	if id != 1 || host.NextID() != 1 {
		t.Error("both sides count from 1")
	}
	got := make(chan net.Conn)
	go func() {
		s, err := plugin.Accept(t.Context(), id)
		if err != nil {
			t.Error(err)
		}
		got <- s
	}()
	s, err := host.Dial(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	other := <-got
	go func() { _, _ = s.Write([]byte("hello")) }()
	buf := make([]byte, 5)
	if _, err := io.ReadFull(other, buf); err != nil || string(buf) != "hello" {
		t.Errorf("%q, %v", buf, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("given up"))
	if _, err := plugin.Accept(ctx, 9); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("error %v", err)
	}
	ctx2, cancel2 := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("too long"))
	defer cancel2()
	if _, err := host.Dial(ctx2, 10); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("dialing what nobody accepts gave %v", err)
	}
	_ = plugin.Close()
	<-host.Done()
	if _, err := host.Accept(t.Context(), 11); !errors.Is(err, ErrEnded) {
		t.Errorf("error %v", err)
	}
}

func TestHandshake(t *testing.T) {
	h, err := ParseHandshake("5|0|unix|/tmp/packer-plugin1443749834\n")
	if err != nil || h != (Handshake{5, 0, "unix", "/tmp/packer-plugin1443749834"}) || h.Compatible() != nil {
		t.Errorf("%+v, %v", h, err)
	}
	if h.String() != "5|0|unix|/tmp/packer-plugin1443749834" {
		t.Error(h.String())
	}
	if h, err := ParseHandshake("5|00|tcp|127.0.0.1:80"); err != nil || h.Compatible() != nil {
		t.Errorf("the minor version is a number: %v", err)
	}
	for line, want := range map[string]string{
		"4|unix|/x":                         "before 1.7",
		"hello":                             `first line is "hello"`,
		"":                                  "first line",
		"x|0|unix|/x":                       "not a number",
		"5|-1|unix|/x":                      "not a number",
		"5|0|udp|/x":                        `network "udp"`,
		"5|0|unix|":                         "no address",
		strings.Repeat("x", maxHandshake+1): "longer than",
	} {
		if _, err := ParseHandshake(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", line, err)
		}
	}
	for _, line := range []string{"5|1|unix|/x", "6|0|unix|/x", "4|0|unix|/x"} {
		if h, err := ParseHandshake(line); err != nil || h.Compatible() == nil {
			t.Errorf("%s is taken: %v", line, err)
		}
	}
}

// FuzzMessage: whatever comes in, decoding it ends with a value or an error, and a value
// is encoded to something that decodes to it again.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{"c0", "93 01 a1 61 c4 01 00", "82 a1 61 d1012c a1 62 cb3ff8000000000000", "d7ff52aa7f6c6b02ed9a", "dd 00000003 c2 c3 80", "c7 0c ff 00000001 0000000000000001", "81 91 c0 c0"} {
		f.Add(fromHex(f, seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, err := readValue(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		if !bytes.HasPrefix(data, raw) {
			t.Fatalf("%x is no prefix of %x", raw, data)
		}
		for _, into := range []any{new(requestHeader), new(replyHeader), new(configs), new(hookArgs), new(uploadArgs), new(dirArgs), new(processReply), new(uint32)} {
			_ = decode(raw, into) // it must only not panic
		}
		var v any
		if err := decode(raw, &v); err != nil {
			return
		}
		var again bytes.Buffer
		if err := encode(&again, v); err != nil {
			t.Fatalf("%#v: %v", v, err)
		}
		if _, err := readValue(bufio.NewReader(&again)); err != nil {
			t.Fatalf("%#v encodes to something that is no value: %v", v, err)
		}
	})
}

// FuzzHandshake: a line is refused, or written out again as it is.
func FuzzHandshake(f *testing.F) {
	for _, seed := range []string{"5|0|unix|/tmp/x", "5|0|tcp|127.0.0.1:1|2", "4|unix|/x", "|||"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		h, err := ParseHandshake(line)
		if err != nil {
			return
		}
		again, err := ParseHandshake(h.String())
		if err != nil || again != h {
			t.Errorf("%q: %+v, then %+v, %v", line, h, again, err)
		}
	})
}
