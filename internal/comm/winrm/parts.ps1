#part path
# A path may begin with %NAME% or $env:NAME. What is not absolute is below the
# folder that commands start in.
function global:Full($b) {
    $p = Text $b
    if ($p -match '^(%(\w+)%|\$env:(\w+))') {
        $v = [Environment]::GetEnvironmentVariable(([string]$matches[2] + [string]$matches[3]))
        if ($v) { $p = $v + $p.Substring($matches[0].Length) }
    }
    if ([IO.Path]::IsPathRooted($p)) { $p } else { [IO.Path]::Combine((Get-Location).ProviderPath, $p) }
}
#part fail
# "!EXCEPTION MESSAGE" and the end. What PowerShell wraps around an exception says nothing.
$e = $_.Exception
while ($e.InnerException) { $e = $e.InnerException }
Release
[Console]::Out.WriteLine('!' + $e.GetType().Name + ' ' + [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($e.Message)))
exit 1
#part read
function global:Read($p) {
    $in = [IO.File]::Open($p, 'Open', 'Read', 'ReadWrite,Delete')
    try {
        $sha = [Security.Cryptography.SHA256]::Create()
        $buf = New-Object byte[] 49152
        $size = 0
        while (($n = $in.Read($buf, 0, $buf.Length)) -gt 0) {
            [void]$sha.TransformBlock($buf, 0, $n, $buf, 0)
            [Console]::Out.WriteLine([Convert]::ToBase64String($buf, 0, $n))
            $size += $n
        }
        [void]$sha.TransformFinalBlock($buf, 0, 0)
        [Console]::Out.WriteLine('=' + $size + ' ' + [BitConverter]::ToString($sha.Hash).Replace('-', ''))
    } finally { $in.Close() }
}
#part ready
# ingot ready
[Console]::Out.WriteLine('ingot-ready')
