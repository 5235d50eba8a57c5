# ingot put
# Every line of the input is one instruction; texts are UTF-8 in base64.
#   d PATH                        make a folder with those above it
#   w PATH OFFSET DATA            write into a file
#   W PATH OFFSET DATA            the same; make its folder first
#   f PATH TARGET SIZE SHA256 MS  check a file that is complete and give it its name
#   x PATH                        remove a file
begin {
    $ErrorActionPreference = 'Stop'
    $global:file = $null
    $global:name = ''
    function global:Text($b) { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($b)) }
    #path
    function global:Release {
        if ($global:file) { $global:file.Close() }
        $global:file = $null
        $global:name = ''
    }
}
process {
    try {
        $a = ([string]$_).TrimStart([char]0xFEFF).Split(' ')
        if ($a[0] -eq 'w') {
            if ($global:name -cne $a[1]) {
                Release
                if ($a[0] -ceq 'W') { [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName((Full $a[1]))) }
                $global:file = [IO.File]::Open((Full $a[1]), 'OpenOrCreate', 'Write', 'ReadWrite')
                $global:name = $a[1]
            }
            $data = [Convert]::FromBase64String($a[3])
            [void]$global:file.Seek([int64]$a[2], 'Begin')
            $global:file.Write($data, 0, $data.Length)
        } elseif ($a[0] -eq 'd') {
            [void][IO.Directory]::CreateDirectory((Full $a[1]))
        } elseif ($a[0] -eq 'x') {
            Release
            [IO.File]::Delete((Full $a[1]))
        } elseif ($a[0] -eq 'f') {
            Release
            $from = Full $a[1]
            $to = Full $a[2]
            $in = [IO.File]::OpenRead($from)
            try {
                $size = $in.Length
                $sum = [BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash($in)).Replace('-', '')
            } finally { $in.Close() }
            if ($size -ne [int64]$a[3] -or $sum -ne $a[4]) {
                [IO.File]::Delete($from)
                throw 'the file has arrived damaged'
            }
            if ([IO.File]::Exists($to)) {
                [IO.File]::SetAttributes($to, 'Normal')
                [IO.File]::Copy($from, $to, $true)
                [IO.File]::Delete($from)
            } else { [IO.File]::Move($from, $to) }
            if ($a[5] -ne '0') {
                [IO.File]::SetLastWriteTimeUtc($to, ([datetime]'1970-01-01').AddMilliseconds([int64]$a[5]))
            }
        }
    } catch {
        #fail
    }
}
end {
    Release
    [Console]::Out.WriteLine('.')
}
