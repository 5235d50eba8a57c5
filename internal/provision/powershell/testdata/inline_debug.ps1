### upload c:/x/it's vars.ps1
### byte order mark
${env:HARD} = "`$x ``y`` `"z`" it`'s %P% `“q`”
line"
${env:PACKER_BUILDER_TYPE} = "null"
${env:PACKER_BUILD_NAME} = "test"
${env:PACKER_HTTP_ADDR} = "10.0.2.2:8000"
${env:PACKER_HTTP_IP} = "10.0.2.2"
${env:PACKER_HTTP_PORT} = "8000"
${env:PLAIN} = "a b"


### upload c:/x/s.ps1
$ProgressPreference = 'SilentlyContinue'
Set-PSDebug -Trace 2
. 'c:/x/it''s vars.ps1'
try {
hostname
} catch {
[Console]::Error.WriteLine(($_ | Out-String))
exit 1
}
if ($global:LASTEXITCODE) { exit $global:LASTEXITCODE }

### run pwsh -ExecutionPolicy bypass -NonInteractive -File "c:/x/s.ps1"

### run powershell -NoProfile -ExecutionPolicy Bypass -InputFormat Text -NonInteractive -OutputFormat Text -EncodedCommand (what follows)
$ProgressPreference = 'SilentlyContinue'; $ErrorActionPreference = 'Stop'
$left = 0
foreach ($path in @('c:/x/it''s vars.ps1', 'c:/x/s.ps1')) {
  Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
  if (Test-Path -LiteralPath $path) { $left = 1 }
}
exit $left

