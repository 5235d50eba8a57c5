package guestrig

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/testkit/live"
)

func TestBootAnswersAndThePowerButtonEndsIt(t *testing.T) {
	g := Boot(t, live.Require(t), Options{})
	if out := g.Run(t, "ls -d /sys/firmware/efi 2>/dev/null || echo bios"); out != "bios\n" {
		t.Errorf("firmware: %q", out)
	}
	if _, err := g.Try(t.Context(), "exit 3"); err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("a command that exits with 3: %v", err)
	}
	if err := g.QMP.Execute(t.Context(), "system_powerdown", nil, nil); err != nil {
		t.Fatal(err)
	}
	g.AwaitExit(t, time.Minute)
}

func TestCheckBootsByEFI(t *testing.T) {
	if out := Check(t, live.Require(t), Options{EFI: true}, "ls -d /sys/firmware/efi"); out != "/sys/firmware/efi\n" {
		t.Errorf("firmware: %q", out)
	}
}

func TestResumeGivesEachTestAMachineOfItsOwn(t *testing.T) {
	env := live.Require(t)
	first := Resume(t, env)
	first.Run(t, "echo first >/root/mark; sync")
	second := Resume(t, env)
	if out := second.Run(t, "ls /root/mark 2>/dev/null || echo none; date +%Y"); out != "none\n"+time.Now().UTC().Format("2006")+"\n" {
		t.Errorf("the second guest has %q", out)
	}
	if out := first.Run(t, "cat /root/mark"); out != "first\n" {
		t.Errorf("the first guest has %q", out)
	}
	first.Kill()
	if _, err := first.Try(t.Context(), "true"); err == nil {
		t.Error("a killed guest answers")
	}
}

func TestResumedGuestTakesWhatIsTyped(t *testing.T) {
	g := Resume(t, live.Require(t))
	for _, key := range []string{"h", "i", "ret"} {
		if out, err := g.QMP.Human(t.Context(), "sendkey "+key); err != nil || out != "" {
			t.Fatalf("sendkey: %v %s", err, out)
		}
	}
	g.AwaitSerial(t, "TYPED: hi", 30*time.Second)
	if out := g.Run(t, "cat /root/typed"); out != "hi\n" {
		t.Errorf("typed: %q", out)
	}
}
