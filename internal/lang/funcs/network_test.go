package funcs

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/quick"

	"github.com/zclconf/go-cty/cty"
)

var networkCases = map[string][]evalCase{
	"cidrhost": {
		{`cidrhost("10.12.112.0/20", 16)`, `"10.12.112.16"`},
		{`cidrhost("10.12.127.0/20", 268)`, `"10.12.113.12"`},
		{`cidrhost("10.0.0.0/8", -1)`, `"10.255.255.255"`},
		{`cidrhost("10.0.0.0/24", -256)`, `"10.0.0.0"`},
		{`cidrhost("10.0.0.7/32", 0)`, `"10.0.0.7"`},
		{`cidrhost("fd00:fd12:3456:7890:00a2::/72", 34)`, `"fd00:fd12:3456:7890::22"`},
		{`cidrhost("::/0", -1)`, `"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"`},
		{`cidrhost("10.0.0.0/24", 256)`, `error: prefix 10.0.0.0/24 has no host number 256`},
		{`cidrhost("10.0.0.0/24", -257)`, `error: prefix 10.0.0.0/24 has no host number -257`},
		{`cidrhost("10.0.0.0/24", 1e999999)`, `error: is out of range`},
		{`cidrhost("10.0.0.0/24", infinity)`, `error: +Inf is not a whole number`},
		{`cidrhost("10.0.0.0/24", 1.5)`, `error: 1.5 is not a whole number`},
		{`cidrhost("10.0.0.0/33", 1)`, `error: "10.0.0.0/33" is not a prefix in CIDR notation`},
		{`cidrhost("10.0.0.0", 1)`, `error: "10.0.0.0" is not a prefix in CIDR notation`},
	},
	"cidrnetmask": {
		{`cidrnetmask("172.16.0.0/12")`, `"255.240.0.0"`},
		{`cidrnetmask("0.0.0.0/0")`, `"0.0.0.0"`},
		{`cidrnetmask("1.2.3.4/32")`, `"255.255.255.255"`},
		{`cidrnetmask("fd00::/56")`, `"ffff:ffff:ffff:ff00::"`},
		{`cidrnetmask("x")`, `error: "x" is not a prefix`},
	},
	"cidrsubnet": {
		{`cidrsubnet("172.16.0.0/12", 4, 2)`, `"172.18.0.0/16"`},
		{`cidrsubnet("10.1.2.0/24", 4, 15)`, `"10.1.2.240/28"`},
		{`cidrsubnet("10.1.2.3/24", 0, 0)`, `"10.1.2.0/24"`},
		{`cidrsubnet("fd00:fd12:3456:7890::/56", 16, 162)`, `"fd00:fd12:3456:7800:a200::/72"`},
		{`cidrsubnet("::/0", 128, 1)`, `"::1/128"`},
		{`cidrsubnet("10.0.0.0/24", 9, 0)`, `error: prefix 10.0.0.0/24 cannot be extended by 9 bits; it has 8 left`},
		{`cidrsubnet("10.0.0.0/24", -1, 0)`, `error: cannot be extended by -1 bits`},
		{`cidrsubnet("10.0.0.0/24", 2, 4)`, `error: 2 bits cannot hold subnet number 4`},
		{`cidrsubnet("10.0.0.0/24", 2, -1)`, `error: 2 bits cannot hold subnet number -1`},
		{`cidrsubnet("10.0.0.0/24", 0.5, 0)`, `error: 0.5 is not a whole number`},
	},
	"cidrsubnets": {
		{`cidrsubnets("10.1.0.0/16", 4, 4, 8, 4)`, `convert(["10.1.0.0/20", "10.1.16.0/20", "10.1.32.0/24", "10.1.48.0/20"], list(string))`},
		{`cidrsubnets("fd00:fd12:3456:7890::/56", 16, 16, 16, 32)`, `convert(["fd00:fd12:3456:7800::/72", "fd00:fd12:3456:7800:100::/72", "fd00:fd12:3456:7800:200::/72", "fd00:fd12:3456:7800:300::/88"], list(string))`},
		{`cidrsubnets("10.0.0.0/24")`, `convert([], list(string))`},
		{`cidrsubnets("10.0.0.0/24", 1, 1)`, `convert(["10.0.0.0/25", "10.0.0.128/25"], list(string))`},
		{`cidrsubnets("10.0.0.0/24", 1, 1, 1)`, `error: prefix 10.0.0.0/24 has no room left for a /25 after 2 subnets`},
		{`cidrsubnets("10.0.0.0/24", 1, 2, 1)`, `error: has no room left for a /25`},
		{`cidrsubnets("10.0.0.0/24", 0)`, `error: cannot be extended by 0 bits`},
		{`cidrsubnets("10.0.0.0/24", 9)`, `error: cannot be extended by 9 bits`},
		{`cidrsubnets("10.0.0.0/24", 1, unknown_number)`, `convert(unknown_list, list(string))`},
	},
}

// Ensure that every host lies in its prefix, and that counting from the end meets counting from the start.
func TestHostsLieInTheirPrefix(t *testing.T) {
	f := Table(Env{})["cidrhost"]
	property := func(ip uint32, length uint8, host uint32) bool {
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], ip)
		prefix := netip.PrefixFrom(netip.AddrFrom4(raw), int(length%33))
		size := int64(1) << (32 - prefix.Bits())
		n := int64(host) % size
		text := cty.StringVal(prefix.String())
		fromStart, err1 := f.Call([]cty.Value{text, cty.NumberIntVal(n)})
		fromEnd, err2 := f.Call([]cty.Value{text, cty.NumberIntVal(n - size)})
		return err1 == nil && err2 == nil && fromStart.RawEquals(fromEnd) &&
			prefix.Contains(netip.MustParseAddr(fromStart.AsString()))
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}

// Ensure that consecutive subnets lie in their prefix, in order, and do not overlap.
func TestSubnetsDoNotOverlap(t *testing.T) {
	f := Table(Env{})["cidrsubnets"]
	base := netip.MustParsePrefix("10.0.0.0/8")
	property := func(sizes []uint8) bool {
		args := []cty.Value{cty.StringVal(base.String())}
		for _, s := range sizes[:min(len(sizes), 20)] {
			args = append(args, cty.NumberIntVal(int64(s%18)+6))
		}
		got, err := f.Call(args)
		if err != nil {
			return false
		}
		last := netip.Prefix{}
		for _, v := range got.AsValueSlice() {
			next := netip.MustParsePrefix(v.AsString())
			if !base.Contains(next.Addr()) || next != next.Masked() || last.IsValid() && (last.Overlaps(next) || !last.Addr().Less(next.Addr())) {
				return false
			}
			last = next
		}
		return true
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
