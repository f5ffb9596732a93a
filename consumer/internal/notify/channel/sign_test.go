package channel

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestPublishedSignatures holds the signatures to what their inventors publish.
func TestPublishedSignatures(t *testing.T) {
	// The vector of the Standard Webhooks' own libraries
	// (github.com/standard-webhooks/standard-webhooks, libraries/go/webhook_test.go and its sisters).
	signer, err := standardwebhooks.NewWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got, err := signer.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want || err != nil {
		t.Errorf("Standard Webhooks: %s, %v, want %s", got, err, want)
	}

	// DingTalk publishes one result, of signing in a person with the same HMAC
	// (ding-doc.dingtalk.com/doc#/faquestions/hxs5v9, at its end).
	if got, want := url.QueryEscape(sign("testappSecret", "1546084445901")), "HCbG3xNE3vzhO%2Bu7qCUL1jS5hsu2n5r2cFhnTrtyDAE%3D"; got != want {
		t.Errorf("DingTalk's HMAC: %s, want %s", got, want)
	}

	// For robots, DingTalk and Feishu publish programs without a result. These are what their
	// Python programs print, with the secret and the time that stand here: "this is secret" is
	// DingTalk's own (open.dingtalk.com, "Customize robot security settings"), 1599360473
	// Feishu's (open.feishu.cn/document/client-docs/bot-v3/add-custom-bot, "signature").
	if got, want := url.QueryEscape(dingtalkSign("this is secret", "1670574414123")), "qsJ7z2Cf4MdrE%2FeY1rKATqUs9GfvmMGM8jbReqPfIac%3D"; got != want {
		t.Errorf("DingTalk: %s, want %s", got, want)
	}
	if got, want := feishuSign("demo", "1599360473"), "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8="; got != want {
		t.Errorf("Feishu: %s, want %s", got, want)
	}
}

// TestReceiverVerifies has the specification's own library check what a webhook sends.
func TestReceiverVerifies(t *testing.T) {
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	for name, template := range map[string]string{"without a template": "", "with one": `{"text": {{json .Title}}}`} {
		t.Run(name, func(t *testing.T) {
			s := settingsOf(Webhook, English)
			s.Template = template
			r := receive(t, http.StatusNoContent, "")
			s.URL = r.URL
			m := *Samples(English)[0]
			m.SentAt = time.Now()
			if a := newChannel(t, s, nil).Tell(t.Context(), &m); a.Result != Sent || a.Status != http.StatusNoContent {
				t.Fatalf("answer %+v", a)
			}
			if err := verifier.Verify(r.body, r.header); err != nil {
				t.Error(err)
			}
			if r.header.Get("Webhook-Id") != m.ID || r.header.Get("Authorization") != authorization {
				t.Errorf("headers %v", r.header)
			}
			if err := verifier.Verify(append(r.body, ' '), r.header); err == nil {
				t.Error("a changed body is verified")
			}
		})
	}
}

func TestSecretsOfWebhooks(t *testing.T) {
	for name, secret := range map[string]string{
		"without its prefix": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "no base64": "whsec_" + strings.Repeat("?", 32),
		"too short": "whsec_" + "c2hvcnQ=", "too long": "whsec_" + strings.Repeat("QUFB", 30),
	} {
		s := settingsOf(Webhook, English)
		s.Secret = secret
		_, err := New(s, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "secret: want whsec_") || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
