#!/usr/bin/env bash
# Draws Docs/picture.svg: the parts, and the journey of a change. usage: picture.sh > Docs/picture.svg
# A test compares the file with what this prints.
set -euo pipefail

# usage: box X Y WIDTH HEIGHT CLASS TITLE [LINE...]
box() {
    local x=$1 y=$2 width=$3 height=$4 class=$5 line
    shift 5
    echo "<rect class=\"$class\" x=\"$x\" y=\"$y\" width=\"$width\" height=\"$height\" rx=\"8\"/>"
    local middle=$((x + width / 2)) baseline=$((y + 25))
    echo "<text class=\"title\" x=\"$middle\" y=\"$baseline\">$1</text>"
    shift
    for line in "$@"; do
        baseline=$((baseline + 18))
        echo "<text class=\"small\" x=\"$middle\" y=\"$baseline\">$line</text>"
    done
}

# usage: arrow X1 Y1 X2 Y2 [CLASS]
arrow() { echo "<path class=\"${5:-arrow}\" d=\"M$1 $2L$3 $4\" marker-end=\"url(#head)\"/>"; }

# A step of the journey. usage: step X Y NUMBER
step() {
    echo "<circle class=\"step\" cx=\"$1\" cy=\"$2\" r=\"11\"/>"
    echo "<text class=\"number\" x=\"$1\" y=\"$(($2 + 4))\">$3</text>"
}

cat <<'SVG'
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 420" role="img" aria-labelledby="title">
<title id="title">Devices talk to the gateway by HTTPS. Behind it, Upload writes to PostgreSQL, Download reads from it, Auth keeps signing keys. Back ends write plain SQL to the same PostgreSQL.</title>
<style>
text { font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1f2328 }
.title { font-weight: 600 }
.small { font-size: 12px; fill: #59636e }
.device, .service, .data { stroke-width: 1.5 }
.device { fill: #ddf4ff; stroke: #0969da }
.service { fill: #fff8c5; stroke: #9a6700 }
.data { fill: #dafbe1; stroke: #1a7f37 }
.frame { fill: none; stroke: #818b98; stroke-dasharray: 5 4 }
.arrow { fill: none; stroke: #59636e; stroke-width: 1.6 }
#head path { fill: #59636e }
.step { fill: #1f2328 }
.number { font-size: 12px; font-weight: 600; fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.small { fill: #9198a1 }
.device { fill: #121d2f; stroke: #4493f8 }
.service { fill: #272115; stroke: #d29922 }
.data { fill: #12261e; stroke: #3fb950 }
.arrow { stroke: #9198a1 }
#head path { fill: #9198a1 }
.step { fill: #f0f6fc }
.number { fill: #0d1117 }
}
</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z"/></marker></defs>
SVG

box 20 30 190 96 device "phone" "your app" "SQLite (GRDB)" "OverSQLite"
box 20 162 190 96 device "laptop" "your app" "SQLite (GRDB)" "OverSQLite"
box 20 294 190 78 device "other clients" "Go, Kotlin" "the same HTTP protocol"

echo '<rect class="frame" x="290" y="14" width="370" height="376" rx="10"/>'
echo '<text class="small" x="475" y="382">one host; Unix sockets between the services</text>'
box 310 150 120 96 service "gateway" "HTTPS, tokens" "limits, watch"
box 500 40 140 78 service "upload" "judges, writes" "one transaction"
box 500 158 140 78 service "download × n" "pages of the log" "wakes who waits"
box 500 276 140 60 service "auth" "signing keys"

box 740 150 200 150 data "your PostgreSQL" "business tables:" "plain columns, your keys" "schema sync:" "log, versions, failures" "triggers capture SQL"
box 740 30 200 60 data "your back ends" "plain SQL, any language"

arrow 210 90 310 172
arrow 310 214 210 214
arrow 210 320 310 238
arrow 430 172 500 100
arrow 430 206 500 206
arrow 430 236 500 290
arrow 640 92 740 176
arrow 740 216 640 206
arrow 640 306 740 276
arrow 840 90 840 150
arrow 570 118 570 158
step 258 118 1
step 462 128 2
step 690 124 3
step 570 138 4
step 690 200 5
step 256 202 6
echo '</svg>'
