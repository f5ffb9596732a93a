package process

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/alecthomas/kong"
)

// errSecretFlag says that somebody wrote a secret onto the command line, where ps, the shell's
// history and the service manager show it to others. What it was is not in the error.
var errSecretFlag = errors.New("secrets are not given as flags, where everybody on the machine sees them")

// Where a secret belongs instead.
const (
	insteadOfToken    = "write the token into a file and name that in the apps file (--apps): tokens: [\"file:PATH\"]"
	insteadOfPassword = "write the password into a file and name that (--kafka-sasl-password-file)"
	insteadOfSecret   = "write it into a file and name that"
	insteadInURL      = "leave the password out of the URL and write it into a file; a database's URL names that as ?password_file=FILE"
)

// secretWords are words in the names of flags that would take a secret, with where it belongs.
var secretWords = map[string]string{
	"token": insteadOfToken, "tokens": insteadOfToken, "sign": insteadOfToken, "signature": insteadOfToken,
	"password": insteadOfPassword, "passwd": insteadOfPassword, "pass": insteadOfPassword, "passphrase": insteadOfSecret,
	"secret": insteadOfSecret, "secrets": insteadOfSecret, "credential": insteadOfSecret, "credentials": insteadOfSecret,
}

// refuseSecrets returns an error for the first of args that looks like a flag with a secret and
// is none that the parser knows: those take names of files, or positions. A URL with a
// password is refused wherever it stands. It comes before the parser, whose errors quote what
// they do not know.
func refuseSecrets(parser *kong.Kong, args []string) error {
	known := map[string]bool{}
	flagNames(parser.Model.Node, known)
	for _, arg := range args {
		if arg == "--" {
			return nil
		}
		if passwordInURL(arg) {
			return fmt.Errorf("%w: %s", errSecretFlag, insteadInURL)
		}
		if !strings.HasPrefix(arg, "-") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if known[name] {
			continue
		}
		for word := range strings.SplitSeq(strings.ToLower(name), "-") {
			if instead, secret := secretWords[word]; secret {
				return fmt.Errorf("%w: %s", errSecretFlag, instead)
			}
		}
	}
	return nil
}

// passwordInURL says whether an argument is a URL, or a flag with one, that has a password.
func passwordInURL(arg string) bool {
	if strings.HasPrefix(arg, "-") {
		_, arg, _ = strings.Cut(arg, "=")
	}
	u, err := url.Parse(arg)
	if err != nil || u.Host == "" && u.RawQuery == "" {
		return false
	}
	if _, given := u.User.Password(); given {
		return true
	}
	return u.Scheme != "" && u.Query().Has("password")
}

// flagNames adds the names of all flags of a node and those below it.
func flagNames(n *kong.Node, known map[string]bool) {
	for _, f := range n.Flags {
		known[f.Name] = true
		for _, alias := range f.Aliases {
			known[alias] = true
		}
		if f.Tag.Negatable != "" {
			known["no-"+f.Name] = true
		}
	}
	for _, child := range n.Children {
		flagNames(child, known)
	}
}
