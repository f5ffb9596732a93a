package main

import "fmt"

// tryApp is the sample app without a token: a callback for it can be made by hand.
const tryApp = 1400000007

// sampleApps is the apps file that is written where there is none.
const sampleApps = `# Sample apps, to be edited: this file is read again when it changes. The tokens are no
# secrets; real ones come as file:PATH or env:NAME.
defaults: {time_zone: Asia/Shanghai, steps: {watch: 70, warning: 80, critical: 90, exhausted: 100}}
apps:
  - {sdk_app_id: 1400000001, name: Harbor Chat, owner: team-harbor, tier: pro, site: cn, tokens: ["plain:harbor-demo"]}
  - {sdk_app_id: 1400000002, name: Lighthouse Live, owner: team-live, tier: enterprise, site: cn, tokens: ["plain:lighthouse-demo"]}
  - {sdk_app_id: 1400000003, name: Ferry Support, owner: team-care, tier: pro, site: intl, time_zone: Asia/Singapore, tokens: ["plain:ferry-demo"]}
  - {sdk_app_id: 1400000004, name: Tidal Games, owner: team-games, tier: pro, site: intl, time_zone: America/Los_Angeles, tokens: ["plain:tidal-demo", "plain:tidal-old"], steps: {watch: 75, critical: 95}}
  - {sdk_app_id: 1400000005, name: Pier Market, owner: team-market, tier: enterprise, site: intl, time_zone: Europe/Berlin, tokens: ["plain:pier-demo"]}
  - {sdk_app_id: 1400000006, name: Buoy Classroom, owner: team-school, tier: pro, site: cn, tokens: ["plain:buoy-demo"]}
  - {sdk_app_id: 1400000007, name: Try It, owner: you}   # no token: its callbacks are not signed
`

// sampleCurl is a command that posts an alarm of the app without a token.
func sampleCurl(url string) string {
	return fmt.Sprintf(`curl -d '{"CallbackCommand":"Group.CallbackOnDailyGroupQuotaAlarm","QuotaUsed":7321,"Quota":10000,"EventTime":"'$(date +%%s)000'"}' \
    '%s?SdkAppid=%d&CallbackCommand=Group.CallbackOnDailyGroupQuotaAlarm&contenttype=json'`, url, tryApp)
}
