	.globl	ProcessPrng
ProcessPrng:
	subq	$40, %rsp
	call	SystemFunction036
	movzbl	%al, %eax
	addq	$40, %rsp
	ret
