package console

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// open reports whether an input goes on on the next line: a bracket or a heredoc
// has no end yet, and nothing in it is wrong for sure.
func open(input string) bool {
	// What is wrong with the input is the parser's to say.
	tokens, _ := hclsyntax.LexExpression([]byte(input+"\n"), "", hcl.InitialPos)
	depth, heredocs := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			depth--
		case hclsyntax.TokenOHeredoc:
			heredocs++
		case hclsyntax.TokenCHeredoc:
			heredocs--
		case hclsyntax.TokenQuotedNewline, hclsyntax.TokenInvalid, hclsyntax.TokenBadUTF8, hclsyntax.TokenApostrophe, hclsyntax.TokenBacktick, hclsyntax.TokenSemicolon:
			return false
		}
	}
	return depth > 0 || heredocs > 0
}

// blank reports whether an input holds nothing but spaces and comments.
func blank(input string) bool {
	tokens, _ := hclsyntax.LexExpression([]byte(input), "", hcl.InitialPos)
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenComment, hclsyntax.TokenNewline, hclsyntax.TokenEOF:
		default:
			return false
		}
	}
	return true
}
